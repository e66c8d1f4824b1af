//! Bob Jenkins' hash lookup3 (include/linux/jhash.h): what spreads flows over addresses and marks, the same on every
//! Linux machine.

/// The hash of words (`jhash2`; of three words also `jhash_3words`).
pub(super) fn jhash(key: &[u32], initial: u32) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add((key.len() as u32) << 2).wrapping_add(initial);
    let (mut a, mut b, mut c) = (start, start, start);
    let mut rest = key;
    while let [first, second, third, more @ ..] = rest
        && !more.is_empty()
    {
        (a, b, c) = (a.wrapping_add(*first), b.wrapping_add(*second), c.wrapping_add(*third));
        // `__jhash_mix`, which turns the three round after each step.
        for turn in [4, 6, 8, 16, 19, 4] {
            let mixed = a.wrapping_sub(c) ^ c.rotate_left(turn);
            (a, b, c) = (b, c.wrapping_add(b), mixed);
        }
        rest = more;
    }
    for (state, word) in [&mut a, &mut b, &mut c].into_iter().zip(rest) {
        *state = state.wrapping_add(*word);
    }
    if key.is_empty() {
        return c;
    }
    // `__jhash_final`
    for turn in [14, 11, 25, 16, 4, 14, 24] {
        let mixed = (c ^ b).wrapping_sub(b.rotate_left(turn));
        (a, b, c) = (b, mixed, a);
    }
    b
}

/// A hash as a number below `size` (include/linux/math.h, `reciprocal_scale`).
pub(super) const fn scale(hash: u32, size: u32) -> u32 {
    ((hash as u64 * size as u64) >> 32) as u32
}
