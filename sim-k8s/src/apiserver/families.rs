//! The address families of a Service (`initIPFamilyFields`, pkg/registry/core/service/storage/alloc.go).

use sim_core::wire::ip::Family;
use std::net::IpAddr;

use crate::api::{ClusterIp, IpFamilyPolicy, Service};

/// Settles the families of a Service on a cluster that has the families `configured`, the default first. `old` is the
/// Service before an update.
///
/// Families follow the cluster addresses that are asked for; each family that is settled on gets its address later. A
/// headless Service that nobody selects pods for may have families that the cluster lacks: its endpoints are elsewhere.
///
/// # Errors
/// What contradicts itself, or asks for a family that the cluster does not have.
pub(super) fn settle(service: &mut Service, old: Option<&Service>, configured: &[Family]) -> Result<(), String> {
    let selectorless = service.is_headless() && service.selector.is_none();
    let policy = policy(service, old, selectorless);
    service.ip_family_policy = Some(policy);
    if let Some(old) = old {
        release(service, old, policy)?;
    }
    infer(service, policy, configured)?;
    let is_dual = policy != IpFamilyPolicy::SingleStack;
    if !selectorless {
        if policy == IpFamilyPolicy::RequireDualStack && configured.len() < 2 {
            return Err(format!("ipFamilyPolicy {policy}: this cluster is not configured for dual-stack services"));
        }
        if let Some(family) = service.ip_families.iter().find(|family| !configured.contains(family)) {
            return Err(format!("ipFamilies: {family} is not configured on this cluster"));
        }
    }
    if service.ip_families.is_empty() {
        service.ip_families.extend(configured.first());
    }
    if let [only] = service.ip_families[..]
        && is_dual
        && (selectorless || configured.len() == 2)
    {
        service.ip_families.push(only.other());
    }
    Ok(())
}

/// The cluster addresses that a Service asks for, or has.
fn addresses(service: &Service) -> &[IpAddr] {
    if let ClusterIp::Fixed(ips) = &service.cluster_ip { ips } else { &[] }
}

/// Nobody has to say: families are given and taken by explicit wish alone.
fn policy(service: &Service, old: Option<&Service>, selectorless: bool) -> IpFamilyPolicy {
    let before = old.and_then(|old| old.ip_family_policy);
    let default = if selectorless { IpFamilyPolicy::RequireDualStack } else { IpFamilyPolicy::SingleStack };
    service.ip_family_policy.or(before).unwrap_or(default)
}

/// An update to one family lets the second go; any other that leaves one out is refused.
fn release(service: &mut Service, old: &Service, policy: IpFamilyPolicy) -> Result<(), String> {
    if policy == IpFamilyPolicy::SingleStack {
        if service.ip_families == old.ip_families {
            service.ip_families.truncate(1);
        }
        let same = addresses(service) == addresses(old);
        if let ClusterIp::Fixed(ips) = &mut service.cluster_ip
            && same
        {
            ips.truncate(1);
        }
        return Ok(());
    }
    let fewer = |before: usize, after: usize| after != 0 && after < before;
    if fewer(addresses(old).len(), addresses(service).len()) || fewer(old.ip_families.len(), service.ip_families.len())
    {
        return Err("ipFamilyPolicy: it must be SingleStack to release the second address or family".into());
    }
    Ok(())
}

/// Families from the addresses that are asked for.
fn infer(service: &mut Service, policy: IpFamilyPolicy, configured: &[Family]) -> Result<(), String> {
    let asked = addresses(service).to_vec();
    if policy == IpFamilyPolicy::SingleStack && (asked.len() == 2 || service.ip_families.len() == 2) {
        return Err(format!("ipFamilyPolicy {policy}: two families need RequireDualStack or PreferDualStack"));
    }
    for ip in asked.into_iter().skip(service.ip_families.len()) {
        let family = Family::of(ip);
        if !configured.contains(&family) {
            return Err(format!("clusterIPs: {ip} is {family}, which is not configured on this cluster"));
        }
        service.ip_families.push(family);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{SourceFile, load};

    const V4: &[Family] = &[Family::V4];
    const V6: &[Family] = &[Family::V6];
    const DUAL: &[Family] = &[Family::V4, Family::V6];

    fn service(spec: &str) -> Service {
        let text = format!("apiVersion: v1\nkind: Service\nmetadata: {{name: a}}\nspec: {spec}\n");
        load(&[SourceFile { name: "a.yaml".into(), text }]).expect("fine").objects.services.remove(0)
    }

    /// The families that are settled on, or why none are.
    fn settled(spec: &str, configured: &[Family]) -> String {
        let mut service = service(spec);
        match settle(&mut service, None, configured) {
            Ok(()) => service.ip_families.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            Err(why) => why,
        }
    }

    fn selecting(rest: &str) -> String {
        format!("{{ports: [{{port: 80}}], selector: {{app: a}}{rest}}}")
    }

    #[test]
    fn who_says_nothing_gets_one_family_the_clusters_first() {
        let plain = selecting("");
        assert_eq!([V4, V6, DUAL].map(|configured| settled(&plain, configured)), ["IPv4", "IPv6", "IPv4"]);
        let headless = selecting(", clusterIP: None");
        assert_eq!([V6, DUAL].map(|configured| settled(&headless, configured)), ["IPv6", "IPv4"]);
    }

    #[test]
    fn preferring_two_takes_what_there_is_and_requiring_two_is_refused_where_there_is_one() {
        let prefer = selecting(", ipFamilyPolicy: PreferDualStack");
        assert_eq!([V4, V6, DUAL].map(|configured| settled(&prefer, configured)), ["IPv4", "IPv6", "IPv4,IPv6"]);
        let require = selecting(", ipFamilyPolicy: RequireDualStack");
        assert_eq!(settled(&require, DUAL), "IPv4,IPv6");
        assert!(settled(&require, V4).ends_with("not configured for dual-stack services"));
    }

    #[test]
    fn the_family_named_first_is_the_primary_one() {
        assert_eq!(settled(&selecting(", ipFamilyPolicy: PreferDualStack, ipFamilies: [IPv6]"), DUAL), "IPv6,IPv4");
        assert_eq!(settled(&selecting(", ipFamilies: [IPv6]"), DUAL), "IPv6");
        assert_eq!(
            settled(&selecting(", ipFamilies: [IPv6]"), V4),
            "ipFamilies: IPv6 is not configured on this cluster"
        );
    }

    #[test]
    fn addresses_that_are_asked_for_say_their_families() {
        let two = "clusterIP: 'fd00:10:96::5', clusterIPs: ['fd00:10:96::5', 10.96.0.5]";
        assert_eq!(settled(&selecting(&format!(", ipFamilyPolicy: PreferDualStack, {two}")), DUAL), "IPv6,IPv4");
        assert!(settled(&selecting(&format!(", {two}")), DUAL).starts_with("ipFamilyPolicy SingleStack: two families"));
        let one = selecting(", clusterIP: 'fd00:10:96::5'");
        assert_eq!(settled(&one, DUAL), "IPv6");
        assert!(settled(&one, V4).contains("fd00:10:96::5 is IPv6, which is not configured"));
    }

    #[test]
    fn a_headless_service_without_selector_has_both_on_any_cluster() {
        let headless = "{clusterIP: None, ports: [{port: 80}]}";
        assert_eq!([V4, V6].map(|configured| settled(headless, configured)), ["IPv4,IPv6", "IPv6,IPv4"]);
    }

    #[test]
    fn an_update_to_single_stack_lets_the_second_family_go_and_no_other_does() {
        let mut both = service(&selecting(", ipFamilyPolicy: PreferDualStack, ipFamilies: [IPv4, IPv6]"));
        both.cluster_ip = ClusterIp::Fixed(["10.96.0.5", "fd00::5"].map(|ip| ip.parse().expect("an address")).to_vec());
        let mut one = Service { ip_family_policy: Some(IpFamilyPolicy::SingleStack), ..both.clone() };
        settle(&mut one, Some(&both), DUAL).expect("it may");
        assert_eq!((addresses(&one).len(), one.ip_families.as_slice()), (1, V4));
        let mut less = Service { ip_families: V4.to_vec(), ..both.clone() };
        assert!(settle(&mut less, Some(&both), DUAL).expect_err("refused").contains("must be SingleStack"));
        let mut more = Service { ip_family_policy: Some(IpFamilyPolicy::RequireDualStack), ..one.clone() };
        settle(&mut more, Some(&one), DUAL).expect("it may");
        assert_eq!(more.ip_families, DUAL);
    }
}
