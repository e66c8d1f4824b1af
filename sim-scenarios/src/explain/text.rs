//! A walk in words.

use std::fmt;

use super::walk::{Frame, PacketWalk, Walk, Way};

impl fmt::Display for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.packets.iter().try_for_each(|packet| write!(f, "{packet}"))
    }
}

impl fmt::Display for PacketWalk {
    /// A line for each frame, with its addresses where they changed, and under it what was decided since the frame before.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.frames.first() else { return Ok(()) };
        write!(f, "{}  {}", self.what, first.ends)?;
        if let Some([src, dst]) = &self.names {
            write!(f, "   {src} → {dst}")?;
        }
        writeln!(f)?;
        let mut before = "";
        for frame in &self.frames {
            write_frame(f, frame, before)?;
            before = &frame.ends;
        }
        writeln!(f)
    }
}

fn write_frame(f: &mut fmt::Formatter<'_>, frame: &Frame, before: &str) -> fmt::Result {
    let shown = if frame.ends == before { "" } else { &frame.ends };
    let way = match frame.way {
        Way::In => "in",
        Way::Out => "out",
        Way::Lost => "✗",
    };
    let line = format!("  {:<26} {way:<3}  {shown}", frame.place());
    writeln!(f, "{}", line.trim_end())?;
    frame.decided.iter().try_for_each(|decision| writeln!(f, "      {decision}"))?;
    frame.lost.iter().try_for_each(|lost| writeln!(f, "      dropped: {lost}"))
}
