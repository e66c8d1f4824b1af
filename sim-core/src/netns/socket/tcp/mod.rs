//! A TCP endpoint: sans-IO, plain data.
