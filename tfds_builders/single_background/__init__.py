"""Sets that surgjax.synthetic.single_background makes of your background and your cut-outs."""
