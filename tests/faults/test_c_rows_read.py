"""Files of rows as people have them, which are read."""

import json

import pytest

from hybrid_latent.data.jsonl import problems
from tests.faults.test_c_rows import PLAIN

# what is tried: the file, its content -> the rows
READ = {
  'answers of every type': (
    'a.jsonl',
    '\n'.join(
      json.dumps({'question': 'x', 'answer': answer})
      for answer in (4, 4.0, 0.25, -3, True, ' 4 ', 10**30, ['4', 4.5])
    ),
    ['4', '4', '0.25', '-3', 'True', '4', '1' + '0' * 30, ['4', '4.5']],
  ),
  'BOM, CRLF, blank lines': (
    'a.jsonl',
    f'\ufeff{PLAIN}\r\n\r\n{PLAIN}\r\n',
    ['4', '4'],
  ),
  'an object per line in .json': ('a.json', f'{PLAIN}\n{PLAIN}\n', ['4', '4']),
  'one list over lines': ('a.json', f'[\n{PLAIN},\n{PLAIN}\n]', ['4', '4']),
  'CSV with quotes, line ends, commas at the end, BOM': (
    'a.csv',
    '\ufeffanswer,question,\r\n"1,000","a ""b"",\r\nc",,\r\n\r\n 5 ,x,\r\n',
    ['1,000', '5'],
  ),
  "pandas' index, a column without a name": (
    'a.csv',
    ',question,,answer\n0,x,,4\n1,y,,5\n',
    ['4', '5'],
  ),
  'one row in .json': ('a.json', f'{PLAIN}\n', ['4']),
  'names in capitals': ('A.CSV', 'question,answer\nx,4\n', ['4']),
  'a question that is a number': (
    'a.jsonl',
    '{"question": 3.5, "answer": 4}',
    ['4'],
  ),
  'a conversation in parts': (
    'a.jsonl',
    '{"prompt": [{"role": "user", "content": [{"type": "text", "text": "x"}]}],'
    ' "answer": "4"}',
    ['4'],
  ),
  'a solution in some rows': (
    'a.jsonl',
    f'{PLAIN}\n{{"question": "x", "answer": 5, "solution": "y"}}\n'
    '{"question": "x", "answer": 6, "solution": null}',
    ['4', '5', '6'],
  ),
  'GSM8K with #### for headings': (
    'a.jsonl',
    '{"question": "x", "answer": "#### Step 1\\n2*2\\n#### 4"}',
    ['4'],
  ),
  'TSV': ('a.tsv', 'question\tanswer\nx, y\t4\n', ['4']),
  'a text of a mebibyte': (
    'a.csv',
    f'question,answer\n{"x" * 2**20},4\n',
    ['4'],
  ),
}


@pytest.mark.parametrize('tried', READ)
def test_a_file_that_is_right_is_read(tried, tmp_path, now):
  name, content, answers = READ[tried]
  (tmp_path / name).write_bytes(content.encode())
  made = str(tmp_path / 'made')
  source = problems('gsm8k', str(tmp_path / name), 'train', data_dir=made)
  assert [row['answer'] for row in source] == answers
  now('a row that is right', tried, [row['answer'] for row in source])
