//! Who gave an answer: a short text inside it, `pod 17 (default/web-0)`.

use sim_k8s::api::ObjectKey;

/// What is kept of a pod's name, as of its host name (kubelet, `truncatePodHostnameIfNeeded`).
const NAME_MAX: usize = 63;

/// The signature of the cluster's pod number `pod`.
pub fn sign(pod: usize, key: &ObjectKey) -> String {
    let name = key.name.get(..NAME_MAX).unwrap_or(&key.name);
    format!("pod {pod} ({}/{name})", key.namespace)
}

/// The signature of whoever answers outside the cluster.
pub const OUTSIDER: &str = "someone outside";

/// Whether an answer comes from outside the cluster.
pub fn is_outsiders(answer: &[u8]) -> bool {
    answer.windows(OUTSIDER.len()).any(|window| window == OUTSIDER.as_bytes())
}

/// The number of the pod that signed `answer`; `None` if there is no signature, or not yet all of it.
pub fn signed_by(answer: &[u8]) -> Option<usize> {
    let after = |text: &[u8]| answer.windows(text.len()).position(|w| w == text).map(|at| &answer[at + text.len()..]);
    let number = after(b"pod ")?;
    let digits = number.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, name) = number.split_at(digits);
    let whole = name.starts_with(b" (") && name.contains(&b')');
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|_| whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_found_inside_an_answer_once_it_is_whole() {
        let signature = sign(17, &ObjectKey::new("shop", "cart-0"));
        assert_eq!(signature, "pod 17 (shop/cart-0)");
        let answer = format!("\u{0}\u{1}hello from {signature}!").into_bytes();
        assert_eq!(signed_by(&answer), Some(17));
        assert_eq!(signed_by(&answer[..answer.len() - 2]), None);
        assert_eq!(signed_by(b"pod x (y)"), None);
        assert_eq!(signed_by(b""), None);
    }

    #[test]
    fn a_long_name_is_cut_as_in_a_host_name() {
        assert_eq!(sign(1, &ObjectKey::new("n", "a".repeat(253))).len(), "pod 1 (n/)".len() + 63);
    }
}
