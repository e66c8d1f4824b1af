//! A logarithm in whole numbers: the same on every machine.

/// Binary places of the result.
pub(super) const PLACES: u32 = 60;

/// ln 2.
const LN_2: u128 = 0xB172_17F7_D1CF_79AB >> (64 - PLACES);

/// The natural logarithm of `n`, at least 1, with [`PLACES`] binary places; exact to some of the last.
///
/// ln(2^k m) = k ln 2 + 2 artanh z with z = (m - 1) / (m + 1), below 1/3 for m in 1 .. 2; artanh z = z + z^3/3 + z^5/5 …
pub(super) fn ln(n: u64) -> u128 {
    let exponent = n.ilog2();
    let power = 1u128 << exponent;
    let z = ((u128::from(n) - power) << PLACES) / (u128::from(n) + power);
    let square = (z * z) >> PLACES;
    let (mut sum, mut term) = (0, z);
    for odd in (1..).step_by(2) {
        if term == 0 {
            break;
        }
        sum += term / odd;
        term = (term * square) >> PLACES;
    }
    u128::from(exponent) * LN_2 + 2 * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_logarithm() {
        for n in 1..5_000 {
            let ours = ln(n) as f64 / (1u64 << PLACES) as f64;
            assert!((ours - (n as f64).ln()).abs() < 1e-14, "{n}: {ours}");
        }
    }
}
