"""What is evaluated by experiments.evaluate_model."""
