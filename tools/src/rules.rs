//! `everyhop rules`: the rules of one node, as `iptables-save` or `ip6tables-save` prints them.

use serde_json::json;
use sim_core::wire::ip::Family;
use sim_k8s::manifest::load;
use sim_k8s::workload::Plan;
use sim_scenarios::run::{Run, RunConfig};

use crate::cluster::ClusterArgs;
use crate::input;
use crate::interrupt::Interrupt;
use crate::problem::{FINE, Problem};
use crate::terminal::say;

/// What `everyhop rules` is told.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  everyhop rules manifests/ --node n1\n  \
    everyhop rules shop.yaml --node n2 --nodes 3 | iptables-restore --test\n  \
    everyhop rules shop.yaml --node n2 --ip-family dual --family 6 | ip6tables-restore --test\n\n\
    The cluster is the one that `everyhop run` brings up, when it has settled; its nodes are called n1, n2, …\n\
    Exit codes: 0 printed, 2 bad input or usage")]
pub(crate) struct RulesArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The node whose rules are printed
    #[arg(long, value_name = "NAME")]
    node: String,
    /// Whose rules: 4 as `iptables-save`, 6 as `ip6tables-save`; default: those of the cluster's primary family
    #[arg(long, value_name = "FAMILY", value_parser = ["4", "6"])]
    family: Option<String>,
    /// Prints {node, rules, not_applied}
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Files or a node's name that are no good.
pub(crate) fn execute(args: &RulesArgs, interrupt: &Interrupt) -> Result<u8, Problem> {
    let loaded = load(&input::manifests(&args.cluster.paths)?).map_err(|findings| input::mistakes(&findings))?;
    let config = RunConfig { cluster: args.cluster.options().config(), capture: false, ..RunConfig::default() };
    let run = Run::new(&loaded.objects, &Plan::default(), config);
    let mut run = run.map_err(|error| Problem::bad_input(error.to_string()))?;
    run.settle(|_| interrupt.pressed());
    if interrupt.pressed() {
        return Err(Problem::failed("interrupted"));
    }
    let (world, cluster) = (run.world(), run.cluster());
    let Some(node) = cluster.nodes.iter().find(|node| node.name == args.node) else {
        let names: Vec<&str> = cluster.nodes.iter().map(|node| node.name.as_str()).collect();
        let there_are = format!("the cluster has {}; --nodes says how many", names.join(", "));
        return Err(Problem::bad_input(format!("there is no node {}", args.node)).help(there_are));
    };
    let family = match args.family.as_deref() {
        Some("4") => Family::V4,
        Some(_) => Family::V6,
        None => Family::of(node.ip()),
    };
    let rules = world.iptables_save((node.netns, family), false);
    if args.json {
        let told = json!({ "node": node.name, "rules": rules, "not_applied": cluster.not_applied });
        say(&format!("{told:#}\n"));
    } else {
        say(&rules);
    }
    Ok(FINE)
}
