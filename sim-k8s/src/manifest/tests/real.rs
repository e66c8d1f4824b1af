//! Manifests as their projects publish them.

use super::super::{Loaded, SourceFile, load};

const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/manifests/");

/// The objects of a file outside the repository; `None`, said on stderr, where it is absent.
fn shared(path: &str) -> Option<Loaded> {
    let Ok(bytes) = std::fs::read(format!("{MANIFESTS}{path}")) else {
        eprintln!("skipped: {MANIFESTS}{path} is absent");
        return None;
    };
    let file = SourceFile::from_bytes(path, bytes).expect("text");
    Some(load(&[file]).unwrap_or_else(|errors| panic!("{}", super::lines(&errors))))
}

#[test]
fn online_boutique_loads_unchanged() {
    let Some(loaded) = shared("online-boutique/kubernetes-manifests.yaml") else { return };
    assert_eq!((loaded.objects.workloads.len(), loaded.objects.services.len()), (12, 12));
    assert_eq!(loaded.warnings, []);
}

#[test]
fn the_guestbook_loads_unchanged() {
    let Some(loaded) = shared("guestbook/guestbook-all-in-one.yaml") else { return };
    let counts = (loaded.objects.workloads.len(), loaded.objects.services.len());
    assert_eq!(counts, (3, 3));
    assert_eq!(loaded.warnings, []);
}
