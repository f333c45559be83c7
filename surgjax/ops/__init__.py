"""Pure array maths: no parameters, no modules."""
