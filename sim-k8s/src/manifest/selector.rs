//! Selectors of labels, and of nodes.

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm as K8sTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::api::{NodeSelectorTerm, Operator, Requirement, Selector};

use super::check::Check;
use super::names;
use super::shown::shown;

/// The operators of a label selector.
const OF_LABELS: [(&str, Operator); 4] = [
    ("In", Operator::In),
    ("NotIn", Operator::NotIn),
    ("Exists", Operator::Exists),
    ("DoesNotExist", Operator::DoesNotExist),
];

/// Those of a node selector: these as well.
const OF_NODES: [(&str, Operator); 2] = [("Gt", Operator::Gt), ("Lt", Operator::Lt)];

impl Check<'_> {
    /// The label selector at `path` (`ValidateLabelSelector`: apimachinery pkg/apis/meta/v1/validation).
    pub(super) fn selector(&mut self, path: &str, from: &LabelSelector) -> Selector {
        let labels = self.labels(&format!("{path}.matchLabels"), from.match_labels.as_ref());
        let mut selector = Selector::equal_to(&labels);
        for (index, from) in from.match_expressions.iter().flatten().enumerate() {
            let at = format!("{path}.matchExpressions[{index}]");
            self.name(&format!("{at}.key"), &from.key, names::label_key);
            let operator = self.one_of(&format!("{at}.operator"), Some(&from.operator), &OF_LABELS, Operator::Exists);
            selector.requirements.push(self.requirement(&at, &from.key, operator, from.values.clone()));
        }
        selector
    }

    /// The description of nodes at `path` (`ValidateNodeSelectorTerm`: pkg/apis/core/validation).
    pub(super) fn node_selector_term(&mut self, path: &str, from: &K8sTerm) -> NodeSelectorTerm {
        let labels = from.match_expressions.iter().flatten().enumerate().map(|(index, from)| {
            let at = format!("{path}.matchExpressions[{index}]");
            self.name(&format!("{at}.key"), &from.key, names::label_key);
            self.node_requirement(&at, from)
        });
        let labels = labels.collect();
        let fields = from.match_fields.iter().flatten().enumerate().map(|(index, from)| {
            let at = format!("{path}.matchFields[{index}]");
            if from.key != "metadata.name" {
                let message = format!("nodes cannot be chosen by the field \"{}\"", shown(&from.key));
                self.error(&format!("{at}.key"), message, "write metadata.name");
            }
            self.node_requirement(&at, from)
        });
        let fields = Selector { requirements: fields.collect() };
        NodeSelectorTerm { labels: Selector { requirements: labels }, fields }
    }

    fn node_requirement(&mut self, at: &str, from: &NodeSelectorRequirement) -> Requirement {
        let known: Vec<_> = OF_LABELS.into_iter().chain(OF_NODES).collect();
        let operator = self.one_of(&format!("{at}.operator"), Some(&from.operator), &known, Operator::Exists);
        self.requirement(at, &from.key, operator, from.values.clone())
    }

    fn requirement(&mut self, at: &str, key: &str, operator: Operator, values: Option<Vec<String>>) -> Requirement {
        let values = values.unwrap_or_default();
        let at = format!("{at}.values");
        match operator {
            Operator::Gt | Operator::Lt if values.len() != 1 || values[0].parse::<i64>().is_err() => {
                self.error(&at, "Gt and Lt compare with one whole number", "write it as the only value, in quotes");
            }
            Operator::Gt | Operator::Lt => {}
            _ if matches!(operator, Operator::In | Operator::NotIn) == values.is_empty() => {
                self.error(&at, "In and NotIn need values, the others take none", "add or remove the values");
            }
            _ => {}
        }
        Requirement { key: key.to_owned(), operator, values }
    }
}
