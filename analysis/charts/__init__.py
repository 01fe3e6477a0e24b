"""Results to plotly figures, as pure functions: one module per kind of result, one theme for all."""
