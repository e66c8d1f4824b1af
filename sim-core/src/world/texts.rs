//! The rules' texts that were read last: agents of many nodes write the same ones, a little later each.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::netfilter::text::{Restore, TextError};
use crate::wire::ip::Family;

/// Texts that are remembered.
const TEXTS: usize = 16;
/// A shorter text is read faster than it is looked for.
const WORTH_IT: usize = 4096;

/// The long texts that were read last, the latest first. Rules that were read once are shared by all who have them.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts(VecDeque<(Family, Arc<str>, Arc<Restore>)>);

impl Texts {
    /// What a text says, its counters at zero.
    pub(super) fn read(&mut self, family: Family, text: &str) -> Result<Arc<Restore>, TextError> {
        let at = self.0.iter().position(|(of, known, _)| *of == family && **known == *text);
        if let Some(known) = at.and_then(|at| self.0.remove(at)) {
            let restore = known.2.clone();
            self.0.push_front(known);
            return Ok(restore);
        }
        let restore = Arc::new(Restore::parse(family, text)?.zeroed());
        if text.len() >= WORTH_IT {
            self.0.truncate(TEXTS - 1);
            self.0.push_front((family, text.into(), restore.clone()));
        }
        Ok(restore)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(n: usize) -> String {
        format!("*filter\n-A INPUT -m comment --comment \"{n}\"\n{}COMMIT\n", "-A INPUT -j ACCEPT\n".repeat(300))
    }

    #[test]
    fn a_long_text_is_read_once_and_the_latest_are_kept() {
        let mut texts = Texts::default();
        let first = texts.read(Family::V4, &text(0)).expect("rules");
        for n in 1..100 {
            texts.read(Family::V4, &text(n)).expect("rules");
            assert!(
                Arc::ptr_eq(&first, &texts.read(Family::V4, &text(0)).expect("rules")),
                "it is asked for all the time"
            );
        }
        assert_eq!(texts.0.len(), TEXTS);
        assert!(texts.read(Family::V4, "*filter\nCOMMIT\n").is_ok() && texts.read(Family::V4, "no rules").is_err());
        assert_eq!(texts.0.len(), TEXTS);
    }
}
