use super::*;

/// Every stop is as it must be, every command is understood, and the story is this.
#[test]
fn each_stop_is_told_like_this() {
    for stop in STOPS {
        let visit = stop.visit().unwrap();
        assert!(visit.ok, "{}", visit.story);
        assert!(visit.sends > 0 && visit.hops > 0 && visit.capture.is_none(), "{visit:?}");
        assert!(!visit.story.contains("not understood"), "{}", visit.story);
        assert!(visit.story.contains("\n✓ "), "{}", visit.story);
        insta::assert_snapshot!(stop.name, visit.story);
    }
}

#[test]
fn a_stop_visited_twice_is_the_same_to_the_byte() {
    let [one, two] = [(); 2].map(|()| stop("overlay").unwrap().visit().unwrap());
    assert_eq!(one.pcapng, two.pcapng);
    assert_eq!(one.story, two.story);
}

#[test]
fn stops_have_names_of_their_own() {
    let mut names: Vec<_> = STOPS.iter().map(|stop| stop.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), STOPS.len());
    assert!(stop("pod-ip").is_some() && stop("nowhere").is_none());
}
