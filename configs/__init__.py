"""Run configurations, one plain-data file per run; they import nothing but ml_collections."""
