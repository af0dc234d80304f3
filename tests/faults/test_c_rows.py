"""Rows and files of rows that are wrong: file, line, field, value, remedy."""

import gzip

import pytest

from hybrid_latent.data.jsonl import problems

GSM8K = '{"question": "How?", "answer": "2*2=4\\n#### 4"}'
PLAIN = '{"question": "How?", "answer": "4"}'


def refused(tmp_path, task, name, content):
  """What is said of a file, without its folder."""
  file = tmp_path / name
  file.write_bytes(content if isinstance(content, bytes) else content.encode())
  with pytest.raises(ValueError) as caught:
    problems(task, str(file), 'train', data_dir=str(tmp_path / 'made'))
  assert not (tmp_path / 'made').exists(), 'it was prepared before it was read'
  return str(caught.value).replace(f'{tmp_path}/', '')


# what is tried: the task, the file, its content -> how the message begins
FILES = {
  'GSM8K row without ####': (
    ('gsm8k', 'train.jsonl', f'{GSM8K}\n{GSM8K}\n{PLAIN}\n'),
    "train.jsonl, line 3: answer = '4' has no '####': end it with '#### 72'",
  ),
  'plain rows, then one of GSM8K': (
    ('gsm8k', 'train.jsonl', f'{PLAIN}\n\n{GSM8K}\n'),
    "train.jsonl, line 3: answer = '2*2=4\\n#### 4' has '####' and the first",
  ),
  'answer null': (
    ('gsm8k', 'a.jsonl', f'{PLAIN}\n{{"question": "x", "answer": null}}'),
    'a.jsonl, line 2: answer = None: accepted is a text, a finite number, or a',
  ),
  'first answer null': (
    ('plain', 'a.jsonl', '{"question": "x", "answer": null}'),
    'a.jsonl, line 1: answer = None: accepted is a text',
  ),
  'answer an object': (
    ('plain', 'a.jsonl', '{"question": "x", "answer": {"value": 4}}'),
    "a.jsonl, line 1: answer = {'value': 4}: accepted is a text",
  ),
  'answer an empty list': (
    ('plain', 'a.jsonl', '{"question": "x", "answer": []}'),
    'a.jsonl, line 1: answer = []: accepted is a text',
  ),
  'answer empty': (
    ('plain', 'a.csv', 'question,answer\nx,4\ny,\n'),
    "a.csv, line 3: answer = '': accepted is a text that is not empty",
  ),
  'answer missing in one row': (
    ('plain', 'a.jsonl', f'{PLAIN}\n{{"question": "x", "anwser": 4}}'),
    "a.jsonl, line 2: no field 'answer' in a row that has ['anwser', 'question'"
    '], but the rows before have it: add it, or remove the row',
  ),
  'no known answer': (
    ('gsm8k', 'a.jsonl', '{"question": "x", "final": 4}'),
    "a.jsonl, line 1: no field 'answer' in a row that has ['final', 'question'"
    '] (none is final_answer, ground_truth, gold, target, label, output): '
    'write data.fields=answer=NAME, or data.fields=answer= for data without',
  ),
  'two may be the question': (
    ('gsm8k', 'a.jsonl', '{"instruction": "x", "input": "y", "output": 4}'),
    "a.jsonl, line 1: no field 'question' in a row that has ['input', 'instruc"
    "tion', 'output'] (['instruction', 'input'] may all be it): write data.fi",
  ),
  'a conversation': (
    (
      'gsm8k',
      'a.jsonl',
      '{"prompt": [{"role": "system", "content": "s"}], "answer": 4}',
    ),
    "a.jsonl, line 1: question = [{'role': 'system', 'content': 's'}]: accepte"
    "d is a text, or a list of one message of the role 'user'; write a system",
  ),
  'question empty': (
    ('plain', 'a.jsonl', '{"question": " ", "answer": 4}'),
    "a.jsonl, line 1: question = '': accepted is a text that is not empty",
  ),
  'a line that is a list': (
    ('gsm8k', 'a.jsonl', f'{PLAIN}\n["x", 4]'),
    "a.jsonl, line 2: a list (['x', 4]) is not an object: accepted is one such",
  ),
  'a line that is a number': (
    ('gsm8k', 'a.jsonl', f'{PLAIN}\n4\n'),
    'a.jsonl, line 2: 4 is not an object: accepted is one such as {"question"',
  ),
  'a list in JSON Lines': (
    ('gsm8k', 'a.jsonl', f'[{PLAIN}]'),
    "a.jsonl, line 1: a list ([{'question': 'How?', 'answer': '4'}]) is not an",
  ),
  'an item that is a text': (
    ('gsm8k', 'a.json', f'[{PLAIN}, "x"]'),
    "a.json, item 2: 'x' is not an object: accepted is one such as",
  ),
  'an object that has the list': (
    ('gsm8k', 'a.json', '{"version": 1,\n "data": [{}]}'),
    "a.json holds an object ({'version': 1, 'data': [{}]}), and its fields ['d"
    "ata'] are lists: accepted is one list of rows: write only the list",
  ),
  'a broken list': (
    ('gsm8k', 'a.json', f'[{PLAIN},\n {PLAIN}\n {PLAIN}]'),
    "a.json, line 3: Expecting ',' delimiter at column 2 of",
  ),
  'a line cut off': (
    ('gsm8k', 'a.jsonl', f'{PLAIN}\n{PLAIN[:20]}'),
    'a.jsonl, line 2: Expecting property name enclosed in double quotes at col',
  ),
  'not JSON': (
    ('gsm8k', 'a.jsonl', f"{PLAIN}\n{{'question': 'x'}}\n"),
    'a.jsonl, line 2: Expecting property name enclosed in double quotes at col',
  ),
  'a literal NaN': (
    ('gsm8k', 'a.jsonl', f'{PLAIN}\n{{"question": "x", "answer": NaN}}\n'),
    'a.jsonl, line 2: NaN is not a number: write a finite one, or a text',
  ),
  'infinite': (
    ('gsm8k', 'a.jsonl', '{"question": "x", "answer": 1e999}\n'),
    'a.jsonl, line 1: answer = inf: accepted is a text, a finite number',
  ),
  'a field twice': (
    ('gsm8k', 'a.jsonl', '{"question": "x", "answer": 4, "answer": 5}\n'),
    "a.jsonl, line 1: field 'answer' occurs twice: write it once",
  ),
  'half a surrogate pair': (
    ('gsm8k', 'a.jsonl', '{"question": "\\ud83d", "answer": 4}\n'),
    'a.jsonl, line 1: half of a surrogate pair: write the whole character',
  ),
  'nested 100,000 deep': (
    ('gsm8k', 'a.jsonl', f'{PLAIN}\n{"[" * 100_000}'),
    'a.jsonl, line 2: nested too deeply: accepted is one JSON object per line',
  ),
  'Latin-1': (
    ('gsm8k', 'a.jsonl', f'{PLAIN}\n{PLAIN}'.encode() + 'é'.encode('latin-1')),
    'a.jsonl, line 2: byte 0xe9 at offset 71 is not UTF-8: save the file',
  ),
  'UTF-16': (
    ('gsm8k', 'a.csv', 'question,answer\n'.encode('utf-16')),
    'a.csv is UTF-16: save it as UTF-8',
  ),
  'an empty file': (
    ('gsm8k', 'a.jsonl', ''),
    'a.jsonl has no rows: accepted is one or more',
  ),
  'blank lines alone': (
    ('gsm8k', 'a.jsonl', '\n \r\n'),
    'a.jsonl has no rows: accepted is one or more',
  ),
  'an empty list': (
    ('gsm8k', 'a.json', '[]'),
    'a.json has no rows: accepted is one or more',
  ),
  'a header alone': (
    ('gsm8k', 'a.csv', 'question,answer\n'),
    'a.csv has no rows: accepted is one or more',
  ),
  'gzip': (
    ('gsm8k', 'a.jsonl', gzip.compress(PLAIN.encode())),
    'a.jsonl is compressed with gzip: run gunzip',
  ),
  'Parquet': (
    ('gsm8k', 'train.parquet', b'PAR1\0\0PAR1'),
    'train.parquet is a Parquet file: write it as JSON Lines, as with pandas',
  ),
  'a pointer of Git LFS': (
    ('gsm8k', 'a.jsonl', 'version https://git-lfs.github.com/spec/v1\n'),
    'a.jsonl is a pointer of Git LFS: run git lfs pull',
  ),
  'a CSV row longer than its header': (
    ('gsm8k', 'a.csv', 'question,answer\n"a\nb",4\nHow, then?,4\n'),
    "a.csv, line 4: 3 fields where the header has 2 (['question', 'answer']): ",
  ),
  'a CSV row shorter than its header': (
    ('gsm8k', 'a.csv', 'question,answer\nHow?,4\nWhy?\n'),
    "a.csv, line 3: 1 fields where the header has 2 (['question', 'answer']): ",
  ),
  'a CSV quote that never ends': (
    ('gsm8k', 'a.csv', 'question,answer\n"How?,4\nWhy?,5\n'),
    'a.csv, line 2: unexpected end of data: put texts that hold quotes, commas',
  ),
  'a CSV quote within a text': (
    ('gsm8k', 'a.csv', 'question,answer\n"a"b,4\n'),
    "a.csv, line 2: ',' expected after '\"': put texts that hold quotes",
  ),
  'a CSV header with one name twice': (
    ('gsm8k', 'a.csv', 'question,answer,answer\nx,1,2\n'),
    "a.csv, line 1: the header ['question', 'answer', 'answer'] has one name",
  ),
  'a CSV with semicolons': (
    ('gsm8k', 'a.csv', 'question;answer\nx;1\n'),
    "a.csv, line 1: the header is one column, 'question;answer': accepted is",
  ),
  'a TSV with commas': (
    ('gsm8k', 'a.tsv', 'question,answer\nx,1\n'),
    "a.tsv, line 1: the header is one column, 'question,answer': accepted is '",
  ),
  'UTF-16 without a mark': (
    ('gsm8k', 'a.csv', 'question,answer\nx,1\n'.encode('utf-16-le')),
    'a.csv is UTF-16, or not text: save it as UTF-8',
  ),
  'an Arrow file': (
    ('gsm8k', 'data.arrow', b'\xff\xff\xff\xff\x10\0\0\0'),
    'data.arrow is an Arrow file: write it as JSON Lines',
  ),
  'an old spreadsheet': (
    ('gsm8k', 'a.xls', b'\xd0\xcf\x11\xe0\xa1\xb1'),
    'a.xls is an old spreadsheet: save it as CSV',
  ),
  'a web page': (
    ('gsm8k', 'a.jsonl', '<!DOCTYPE html><html></html>'),
    'a.jsonl is a web page: download the file itself',
  ),
  'nothing after ####': (
    ('gsm8k', 'a.jsonl', '{"question": "x", "answer": "2*2\\n#### "}'),
    "a.jsonl, line 1: answer = '2*2\\n#### ' has nothing after '####': end it",
  ),
  'the answer within a column': (
    (
      'plain',
      'a.jsonl',
      '{"prompt": "x", "reward_model": {"ground_truth": 4}}',
    ),
    "a.jsonl, line 1: no field 'answer' in a row that has ['prompt', 'reward_mo"
    "del'] (none is final_answer, ground_truth, gold, target, label, output): w"
    'rite data.fields=answer=reward_model.ground_truth, ',
  ),
  'question true': (
    ('plain', 'a.jsonl', '{"question": true, "answer": 4}'),
    'a.jsonl, line 1: question = True: accepted is a text',
  ),
}


@pytest.mark.parametrize('tried', FILES)
def test_a_file_that_is_wrong_is_named_with_its_place(tried, tmp_path, now):
  (task, name, content), begins = FILES[tried]
  message = refused(tmp_path, task, name, content)
  assert message.startswith(begins)
  assert message.startswith(name)
  assert len(message) < 600
  now('a row that is wrong', tried, message)
