"""Measures of completions: pure functions of the rows of an evaluation's record
(`experiments.evaluation.record`), or of arrays that are made from them."""
