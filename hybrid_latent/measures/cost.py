"""Cost of evaluations: time per question, throughput, memory (LRT, ICLR 2026).

Times are of prefill and decoding, compilation excluded.
"""

from collections.abc import Mapping, Sequence
from typing import Any


def cost(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
  """Over the data sets of an arm, `rows` of times.jsonl, at least one: seconds
  per question and tokens per second of all together, and the peak memory in
  bytes, None where the device reports none."""
  total = lambda name: sum(row[name] for row in rows)
  peaks = [x for row in rows if (x := row['peak_memory_bytes']) is not None]
  seconds = sum(row['seconds_per_question'] * row['prompts'] for row in rows)
  return {
    'seconds_per_question': seconds / max(total('prompts'), 1),
    'tokens_per_second': total('tokens') / (total('seconds') or float('nan')),
    'peak_memory_bytes': max(peaks, default=None),
  }
