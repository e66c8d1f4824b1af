//! Label selectors.

use super::Labels;

/// Which labels an object must carry (`LabelSelector`, or the plain map of a Service). An empty one matches everything.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Selector {
    /// All of these must hold.
    pub requirements: Vec<Requirement>,
}

/// One condition on one label.
#[derive(Clone, PartialEq, Debug)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// The condition.
    pub operator: Operator,
    /// Values of `In` and `NotIn`, the number of `Gt` and `Lt`; empty for the others.
    pub values: Vec<String>,
}

/// The conditions of `matchExpressions`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
    /// The label exists and has one of the values.
    In,
    /// The label has none of the values, or does not exist.
    NotIn,
    /// The label exists.
    Exists,
    /// The label does not exist.
    DoesNotExist,
    /// The label is a whole number above the value. Of nodes only.
    Gt,
    /// The label is a whole number below the value. Of nodes only.
    Lt,
}

impl Selector {
    /// The selector `key=value, …` of a Service or of `matchLabels`.
    pub fn equal_to(labels: &Labels) -> Self {
        let requirement = |(key, value): (&String, &String)| Requirement {
            key: key.clone(),
            operator: Operator::In,
            values: vec![value.clone()],
        };
        Self { requirements: labels.iter().map(requirement).collect() }
    }

    /// Whether `labels` meet every requirement (`Requirement.Matches` in apimachinery pkg/labels/selector.go).
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|r| r.matches(labels))
    }
}

impl Requirement {
    /// Whether `labels` meet this condition.
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let listed = value.is_some_and(|v| self.values.contains(v));
        match self.operator {
            Operator::In => listed,
            Operator::NotIn => !listed,
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt => self.compares(value, |label, bound| label > bound),
            Operator::Lt => self.compares(value, |label, bound| label < bound),
        }
    }

    fn compares(&self, label: Option<&String>, holds: fn(i64, i64) -> bool) -> bool {
        let number = |text: Option<&String>| text.and_then(|text| text.parse().ok());
        number(label).zip(number(self.values.first())).is_some_and(|(label, bound)| holds(label, bound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    fn one(key: &str, operator: Operator, values: &[&str]) -> Selector {
        let values = values.iter().map(ToString::to_string).collect();
        Selector { requirements: vec![Requirement { key: key.into(), operator, values }] }
    }

    #[test]
    fn an_empty_selector_matches_everything() {
        assert!(Selector::default().matches(&labels(&[])));
        assert!(Selector::default().matches(&labels(&[("app", "web")])));
    }

    #[test]
    fn every_label_of_a_plain_selector_must_be_there() {
        let selector = Selector::equal_to(&labels(&[("app", "web"), ("tier", "front")]));
        assert!(selector.matches(&labels(&[("app", "web"), ("tier", "front"), ("x", "y")])));
        assert!(!selector.matches(&labels(&[("app", "web")])));
    }

    #[test]
    fn not_in_also_holds_where_the_label_is_absent() {
        let web = labels(&[("app", "web")]);
        assert!(one("tier", Operator::NotIn, &["back"]).matches(&web));
        assert!(!one("app", Operator::NotIn, &["web", "api"]).matches(&web));
        assert!(one("app", Operator::In, &["web", "api"]).matches(&web));
        assert!(one("app", Operator::Exists, &[]).matches(&web));
        assert!(!one("app", Operator::DoesNotExist, &[]).matches(&web));
    }
}
