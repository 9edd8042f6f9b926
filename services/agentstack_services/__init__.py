"""The five reference services of the stack, in one image."""
