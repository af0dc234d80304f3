from experiments.report.charts import Chart
from experiments.studies import quickstart

ROWS = [
  {'control': control, 'accuracy': accuracy, 'low': 0.0, 'high': 1.0,
   'tokens': 8}
  for control, accuracy in (
    ('', 0.97), ('other_problem', 0.1), ('pause', 0.02), ('dropped', 1.0))
]  # fmt: skip


def test_the_controls_are_named_in_table_text_and_picture():
  lines = quickstart.controls_table(ROWS)
  assert [line['latents'] for line in lines] == [
    'own', "another's", 'pause', 'none: words'
  ]  # fmt: skip
  text = quickstart.controls_text(ROWS)
  places = [text.index(x) for x in ('0.970', '0.100', '0.020', '1.000')]
  assert places == sorted(places)
  chart = quickstart.controls_chart(ROWS)
  assert isinstance(chart, Chart)
  assert [*chart.categories] == [line['latents'] for line in lines]
  assert [*chart.series['accuracy'].y] == [0.97, 0.1, 0.02, 1.0]
