"""The report: tables, charts and the HTML page of runs."""
