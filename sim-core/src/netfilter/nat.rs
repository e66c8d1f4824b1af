//! Network address translation.
