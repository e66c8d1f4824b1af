//! The reference lab: its specs, its canonical form.
