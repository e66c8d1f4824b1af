//! One node with its kubelet; the test plays node IPAM, flannel, and the applications in pods.

mod bench;
mod death;
mod life;
mod probing;
mod restarts;
