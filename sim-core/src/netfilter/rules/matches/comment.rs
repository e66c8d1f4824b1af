//! `-m comment`: a remark that changes nothing.

use std::fmt;
use std::sync::Arc;

use super::{Answer, Kind, Question};
use crate::netfilter::text::{Given, Quoted, TextError};

/// Longest comment (include/uapi/linux/netfilter/xt_comment.h, `XT_MAX_COMMENT_LEN` with the final zero).
const MAX_LEN: usize = 255;

/// A remark.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Comment(Option<Arc<str>>);

impl Comment {
    /// The remark `text`, or why it cannot be one.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LEN {
            return Err(format!("a comment has at most {MAX_LEN} bytes, this one {}", text.len()));
        }
        if text.contains(['\n', '\0']) {
            return Err("a comment is one line without zero bytes".into());
        }
        Ok(Self(Some(text.into())))
    }

    /// The remark.
    pub fn text(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

impl Kind for Comment {
    const NAME: &'static str = "comment";

    fn option(&mut self, given: &mut Given<'_, '_>) -> Result<bool, TextError> {
        if given.name() != "--comment" {
            return Ok(false);
        }
        *self = given.value(Self::new)?;
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.0.as_ref().map(|_| ()).ok_or_else(|| "--comment is missing".into())
    }

    fn asks(&self, _: &mut Question<'_, '_>) -> Answer {
        Answer::Yes
    }
}

impl fmt::Display for Comment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " --comment {}", Quoted(self.text()))
    }
}
