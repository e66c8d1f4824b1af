//! The stops. Each shows one thing, and says what must be so for it to be shown.

pub(super) mod egress;
pub(super) mod outside;
pub(super) mod pods;
pub(super) mod services;
