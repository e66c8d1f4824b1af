//! A deterministic Linux-like network; it knows no Kubernetes word.
pub mod capture;
pub mod engine;
pub mod netfilter;
pub mod netns;
pub mod wire;
