"""The generated surgical world as a prepared data set."""
