//! Rules as values.
