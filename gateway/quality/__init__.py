"""How good answers are: what people say of them, and what a judge says of a sample."""
