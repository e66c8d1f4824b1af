use super::{Loaded, SourceFile, load};
use crate::api::{ClusterIp, ServiceType, TargetPort, WorkloadKind};

mod dns;
mod mistakes;
mod probes;
mod real;
mod rollouts;
mod scheduling;

fn files(texts: &[&str]) -> Vec<SourceFile> {
    let name = |i| if texts.len() == 1 { "shop.yaml".into() } else { format!("{i}.yaml") };
    texts.iter().enumerate().map(|(i, text)| SourceFile { name: name(i), text: text.to_string() }).collect()
}

fn loaded(text: &str) -> Loaded {
    load(&files(&[text])).unwrap_or_else(|errors| panic!("{}", lines(&errors)))
}

fn lines(findings: &[super::Finding]) -> String {
    findings.iter().map(|f| format!("{f}\n")).collect()
}

/// A Deployment of one container, whose lines `container` are indented by eight.
fn deployment(name: &str, container: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  selector:\n    matchLabels: {{app: {name}}}\n  \
         template:\n    metadata:\n      labels: {{app: {name}}}\n    spec:\n      containers:\n      - name: main\n{container}"
    )
}

fn service(name: &str, rest: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n{rest}")
}

#[test]
fn what_a_manifest_leaves_out_is_defaulted_as_the_apiserver_does() {
    let web = deployment("web", "        ports:\n        - containerPort: 8080\n");
    let text = format!("{web}---\n{}", service("web", "  selector: {app: web}\n  ports:\n  - port: 80\n"));
    let objects = loaded(&text).objects;
    let workload = &objects.workloads[0];
    assert_eq!((workload.replicas, workload.key.to_string()), (1, "default/web".into()));
    assert_eq!(workload.template.containers[0].ports[0].protocol.to_string(), "TCP");
    let service = &objects.services[0];
    assert_eq!(service.service_type, ServiceType::ClusterIp);
    assert_eq!(service.cluster_ip, ClusterIp::Allocate);
    assert_eq!(service.ports[0].target_port, TargetPort::Number(80));
    assert!(service.allocate_load_balancer_node_ports);
    assert_eq!(service.session_affinity, None);
}

#[test]
fn host_network_pods_take_their_container_ports_from_the_node() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: agent}\nspec:\n  hostNetwork: true\n  containers:\n  - name: a\n    \
               ports:\n    - containerPort: 9100\n    - {containerPort: 53, protocol: UDP}\n";
    let template = &loaded(pod).objects.workloads[0].template;
    assert!(template.host_network);
    let host_ports: Vec<_> = template.containers[0].ports.iter().map(|p| p.host_port).collect();
    assert_eq!(host_ports, [Some(9100), Some(53)]);
}

#[test]
fn lists_json_and_several_files_are_one_set() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: shop}\n\
                - {apiVersion: v1, kind: ServiceList, items: [{apiVersion: v1, kind: Service, metadata: {name: a, \
                namespace: shop}, spec: {clusterIP: None}}]}\n";
    let json = "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\"}]}}";
    let objects = load(&files(&[list, json])).expect("loads").objects;
    assert_eq!(objects.namespaces[0].labels["kubernetes.io/metadata.name"], "shop");
    assert_eq!(objects.services[0].key.to_string(), "shop/a");
    assert!(objects.services[0].is_headless());
    assert_eq!(objects.workloads[0].kind, WorkloadKind::Pod);
}

#[test]
fn environments_come_from_config_maps_secrets_and_references() {
    let container = "        envFrom:\n        - configMapRef: {name: urls}\n          prefix: X_\n        env:\n        \
        - {name: HOST, valueFrom: {secretKeyRef: {name: db, key: host}}}\n        - {name: URL, value: \"postgres://$(HOST):5432\"}\n        \
        - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}\n        \
        - {name: NONE, valueFrom: {configMapKeyRef: {name: nobody, key: k, optional: true}}}\n";
    let configs = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: urls}\ndata: {CART: \"cart:7070\"}\n---\n\
                   apiVersion: v1\nkind: Secret\nmetadata: {name: db}\ndata: {host: ZGI=}\n";
    let result = loaded(&format!("{}---\n{configs}", deployment("web", container)));
    assert_eq!(result.warnings, []);
    let env = &result.objects.workloads[0].template.containers[0].env;
    let pairs: Vec<_> = env.iter().map(|v| (v.name.as_str(), v.value())).collect();
    assert_eq!(
        pairs,
        [("X_CART", Some("cart:7070")), ("HOST", Some("db")), ("URL", Some("postgres://db:5432")), ("IP", None)]
    );
}

#[test]
fn a_reference_to_nothing_is_a_warning() {
    let container = "        envFrom:\n        - configMapRef: {name: urls}\n        env:\n        \
                     - {name: HOST, valueFrom: {secretKeyRef: {name: db, key: host}}}\n";
    let text = format!(
        "{}---\n{}",
        deployment("web", container),
        service("api", "  selector: {app: api}\n  ports: [{port: 80}]\n")
    );
    insta::assert_snapshot!(lines(&loaded(&text).warnings));
}

#[test]
fn sidecars_are_containers_and_other_init_containers_are_not() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  initContainers:\n  - {name: wait}\n  \
               - {name: proxy, restartPolicy: Always, ports: [{containerPort: 15001, name: in}]}\n  containers:\n  \
               - {name: app, ports: [{containerPort: 80, name: http}]}\n";
    let template = &loaded(pod).objects.workloads[0].template;
    let names: Vec<_> = template.containers.iter().map(|c| (c.name.as_str(), c.sidecar)).collect();
    assert_eq!(names, [("proxy", true), ("app", false)]);
    assert_eq!(template.port_named("http", crate::api::Protocol::Tcp), Some(80));
    assert_eq!(template.port_named("http", crate::api::Protocol::Udp), None);
}

#[test]
fn endpoints_and_slices_written_by_hand_are_kept() {
    let text = "apiVersion: v1\nkind: Endpoints\nmetadata: {name: db}\nsubsets:\n- addresses: [{ip: 192.0.2.1}]\n  \
                notReadyAddresses: [{ip: 192.0.2.2}]\n  ports: [{port: 5432}]\n---\n\
                apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: api-1\n  \
                labels: {kubernetes.io/service-name: api}\naddressType: IPv4\nports: [{name: http, port: 80}]\nendpoints:\n\
                - {addresses: [192.0.2.3], conditions: {ready: false, terminating: true}}\n";
    let slices = loaded(text).objects.endpoint_slices;
    let ready: Vec<_> = slices[0].endpoints.iter().map(|e| (e.address.to_string(), e.ready)).collect();
    assert_eq!(ready, [("192.0.2.1".into(), true), ("192.0.2.2".into(), false)]);
    assert_eq!(slices[1].service.as_ref().map(ToString::to_string), Some("default/api".into()));
    assert!(slices[1].endpoints[0].serving && slices[1].endpoints[0].terminating);
}

#[test]
fn kinds_and_fields_without_effect_are_listed_once() {
    let container =
        "        image: nginx\n        resources: {limits: {cpu: 1, memory: 64Mi}}\n        imagePullPolice: Always\n";
    let other = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\n---\n\
                 apiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: old}\n---\n\
                 apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: a}\n";
    let text = format!("{}---\n{}---\n{other}", deployment("a", container), deployment("b", container));
    let passed_over = loaded(&text).passed_over;
    let fields: Vec<_> = passed_over.fields.iter().map(|(field, count)| format!("{count} {field}\n")).collect();
    let kinds: Vec<_> = passed_over.kinds.iter().map(|(kind, count)| format!("{count} {kind}\n")).collect();
    insta::assert_snapshot!(kinds.concat() + "\n" + &fields.concat());
}

#[test]
fn a_version_that_kubernetes_gave_up_is_a_warning() {
    let old = deployment("web", "").replace("apps/v1", "extensions/v1beta1");
    insta::assert_snapshot!(lines(&loaded(&old).warnings));
}

#[test]
fn a_dump_of_a_cluster_makes_each_pod_once() {
    let owned = |kind: &str, name: &str, owner: &str, owner_name: &str, rest: &str| {
        format!(
            "---\nkind: {kind}\nmetadata:\n  name: {name}\n  ownerReferences: [{{kind: {owner}, name: {owner_name}, \
             controller: true}}]\n{rest}"
        )
    };
    let pod = "apiVersion: v1\nspec: {containers: [{name: main}]}\n";
    let slice = "apiVersion: discovery.k8s.io/v1\naddressType: IPv4\nendpoints: [{addresses: [10.1.2.3]}]\n";
    let text = [
        deployment("web", ""),
        owned("Pod", "web-1", "Deployment", "web", pod),
        owned("Pod", "job-1", "Job", "elsewhere", pod),
        format!("---\n{}", service("web", "  selector: {app: web}\n  ports: [{port: 80}]\n")),
        owned("EndpointSlice", "web-x", "Service", "web", slice),
        "---\napiVersion: v1\nkind: Endpoints\nmetadata: {name: web}\nsubsets: [{addresses: [{ip: 10.1.2.3}]}]\n"
            .into(),
    ];
    let loaded = loaded(&text.concat());
    let names: Vec<_> = loaded.objects.workloads.iter().map(|w| w.key.name.as_str()).collect();
    assert_eq!(names, ["web", "job-1"]);
    assert_eq!(loaded.objects.endpoint_slices, []);
    assert_eq!(loaded.passed_over.kinds["Pod made by another object"], 1);
}

#[test]
fn a_kustomization_among_the_manifests_is_passed_over() {
    let file = |name: &str| SourceFile { name: name.into(), text: "resources: [web.yaml]\n".into() };
    assert_eq!(load(&[file("base/kustomization.yaml")]).expect("loads").passed_over.kinds["kustomization.yaml"], 1);
    load(&[file("values.yaml")]).expect_err("other files must say what they are");
}

#[test]
fn a_service_for_one_pod_of_a_stateful_set_is_no_cause_for_a_warning() {
    let selector = "  selector: {app: web, statefulset.kubernetes.io/pod-name: web-0}\n  ports: [{port: 80}]\n";
    assert_eq!(loaded(&format!("{}---\n{}", deployment("web", ""), service("web-0", selector))).warnings, []);
}

#[test]
fn bytes_that_are_not_text_are_an_error_with_a_place() {
    let file = SourceFile::from_bytes("a.yaml", b"a: 1\nb: \xff\n".to_vec()).expect_err("refused");
    assert_eq!(file.to_string(), "a.yaml:2:4: the file is not text in UTF-8\n  save the file as UTF-8");
    assert_eq!(SourceFile::from_bytes("b.yaml", b"a: 1".to_vec()).expect("text").text, "a: 1");
}
