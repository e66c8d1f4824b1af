//! Whether a node is believed to be healthy.

use super::config::HealthCheck;

/// What the checks of one node have come to. Default: unhealthy, as every new target is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Health {
    pub(super) is_healthy: bool,
    /// Checks in a row that say the opposite.
    against: u32,
}

impl Health {
    /// Takes in one check; whether the belief changes.
    pub(super) fn observe(&mut self, passed: bool, check: &HealthCheck) -> bool {
        if passed == self.is_healthy {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let changes = self.against >= if passed { check.healthy } else { check.unhealthy };
        if changes {
            *self = Self { is_healthy: passed, against: 0 };
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::LbConfig;
    use super::*;

    #[test]
    fn three_failures_in_a_row_are_believed_and_one_success() {
        let check = LbConfig::passthrough().cluster_check;
        let mut health = Health::default();
        assert!(health.observe(true, &check) && health.is_healthy);
        let believed = [false, false, true, false, false, false].map(|passed| health.observe(passed, &check));
        assert_eq!(believed, [false, false, false, false, false, true]);
        assert!(!health.is_healthy);
    }
}
