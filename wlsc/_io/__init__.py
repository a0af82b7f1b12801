"""Files, TOML tables and the machine: what every room may use, and what uses none of them."""
