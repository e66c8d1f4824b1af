//! Ctrl-C: the first one asks the command to stop at the next event, the second one ends the process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;
use signal_hook::flag;

/// Whether Ctrl-C was pressed.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes Ctrl-C over for the rest of the process.
    ///
    /// # Errors
    /// The system would not let it.
    pub(crate) fn watch() -> io::Result<Self> {
        let pressed = Arc::new(AtomicBool::new(false));
        // In this order: at the first press the flag is not yet set when the first of the two looks at it.
        flag::register_conditional_shutdown(SIGINT, i32::from(crate::problem::FAILED), Arc::clone(&pressed))?;
        flag::register(SIGINT, Arc::clone(&pressed))?;
        Ok(Self(pressed))
    }

    /// Whether it was pressed.
    pub(crate) fn pressed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
