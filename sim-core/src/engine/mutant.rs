//! Mistakes that can be planted in a world, one at a time: they prove that what compares worlds would find them.
//!
//! A world without one, and every world of a build without the feature `mutants`, makes none of them.

macro_rules! mutants {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A mistake of one line.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Mutant { $($(#[$doc])* $name),* }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

mutants! {
    /// Forwarding leaves the TTL as it is.
    TtlKept,
    /// Forwarding lets the last hop of a TTL pass.
    TtlOneForwarded,
    /// The MTU of the way is one byte larger.
    MtuOneMore,
    /// What came as a broadcast is forwarded.
    BroadcastForwarded,
    /// NAT leaves the L4 checksum as it is.
    NatChecksumKept,
    /// Replies are not translated back.
    ReplyNotTranslated,
    /// The port that NAT is told is one too high.
    NatPortOneMore,
    /// Connections are confirmed where they are first seen.
    ConfirmedEarly,
    /// Connections to this host are never confirmed.
    ConfirmForgotten,
    /// FORWARD asks the table filter before mangle.
    FilterBeforeMangle,
    /// A chain's policy is always ACCEPT.
    PolicyIgnored,
    /// RETURN accepts.
    ReturnAccepts,
    /// A goto comes back.
    GotoComesBack,
    /// `! --mark` is `--mark`.
    BangIgnored,
    /// The mask of `--mark` is not looked at.
    MarkMaskIgnored,
    /// One packet more passes `limit`.
    LimitOneMore,
    /// CT --notrack does nothing.
    NotrackIgnored,
    /// A hairpin port is like any other.
    HairpinOff,
    /// A bridge learns nothing.
    FdbNotLearned,
    /// ARP is answered for an address beyond the device.
    ArpForForeign,
    /// Any source address may come in by any device.
    RpFilterSkipped,
    /// Errors are sent about packets to everyone.
    ErrorAboutBroadcast,
    /// Errors quote one byte less.
    QuoteOneLess,
    /// Echo replies have no type of service.
    EchoTosLost,
    /// Fragments lie eight bytes further on than they should.
    FragmentOffset,
    /// The IP header's checksum is not looked at.
    HeaderChecksumUnchecked,
    /// REJECT says that the host cannot be reached.
    RejectAnotherCode,
    /// The RST of REJECT has another sequence number.
    RejectAnotherSequence,
    /// TCPMSS raises the MSS and never lowers it.
    MssRaised,
    /// The tunnel takes the inner type of service over whole.
    TunnelTosCopied,
    /// A closed port is said to be a missing host.
    ClosedPortIsNoHost,
    /// TCP takes a RST anywhere in the window; this mistake and those that follow are TCP's own.
    TcpResetAnywhere,
    /// Challenge ACKs have no limit.
    TcpChallengeUnlimited,
    /// Timeouts do not become longer.
    TcpTimeoutKept,
    /// Every segment is acknowledged at once.
    TcpAckAtOnce,
    /// close() does not look for unread data.
    TcpUnreadForgotten,
    /// Duplicates are not reported.
    TcpDuplicateUntold,
}

/// The mistake that a world makes, if any.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Planted(Option<Mutant>);

impl Planted {
    /// This one.
    #[cfg(feature = "mutants")]
    pub const fn new(mutant: Mutant) -> Self {
        Self(Some(mutant))
    }

    /// Whether it is `mutant`.
    #[inline]
    pub(crate) fn is(self, mutant: Mutant) -> bool {
        cfg!(feature = "mutants") && self.0 == Some(mutant)
    }
}
