//! Weighs the failures of one call: a refusal that follows an attempt which may have had an effect
//! is believed only when it is repeated.
//!
//! Does not know what is called.

/// What failed attempts say together about what is on storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Doubt {
    /// Some attempt may have had an effect.
    pub open: bool,
    /// Refusals in a row.
    pub refusals: u8,
}

impl Doubt {
    /// An attempt may have had an effect: what was refused before it says nothing any more.
    pub const fn uncertain(&mut self) {
        self.open = true;
        self.refusals = 0;
    }

    /// An attempt was refused.
    pub const fn refused(&mut self) {
        self.refusals = self.refusals.saturating_add(1);
    }

    /// What is on storage is known.
    pub const fn settled(&mut self) {
        self.open = false;
        self.refusals = 0;
    }

    /// Refused, and surely nothing is on storage: no attempt before may have had an effect, or the
    /// driver has said it twice.
    pub const fn is_believed(self) -> bool {
        self.refusals >= 2 || (self.refusals == 1 && !self.open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_is_enough_unless_something_may_be_there() {
        let mut doubt = Doubt::default();
        assert!(!doubt.is_believed());
        doubt.refused();
        assert!(doubt.is_believed());
        doubt.uncertain();
        doubt.refused();
        assert!(!doubt.is_believed());
        doubt.uncertain();
        doubt.refused();
        assert!(!doubt.is_believed(), "two, but not in a row");
        doubt.refused();
        assert!(doubt.is_believed());
        doubt.settled();
        assert_eq!(doubt, Doubt::default());
    }
}
