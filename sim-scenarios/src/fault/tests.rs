use super::*;
use sim_k8s::manifest::SourceFile;

#[test]
fn a_fault_is_written_as_it_is_shown() {
    for text in [
        "delete pod shop/web-0",
        "delete a pod of deployment shop/web",
        "scale statefulset default/db 5",
        "node n2 drain",
        "node n2 off",
        "node n2 leave",
        "link n1 down",
        "link n1 up",
        "link n1 loss 10000",
        "link n1 delay 5ms",
        "watches kube-proxy n1 cut",
        "watches scheduler heal",
    ] {
        assert_eq!(read(text).map(|fault| fault.to_string()).as_deref(), Ok(text));
    }
}

#[test]
fn what_is_not_understood_is_told_with_its_place() {
    let text = "- {at: 5s, do: node n2 off}\n- at: soon\n  do: delete everything\n- {at: 1s, do: link n1 loss 2000000}\n- {at: 99999m, do: node n1 off}\n";
    let file = SourceFile { name: "faults.yaml".into(), text: text.into() };
    let faults: String = read_faults(&file).expect_err("refused").iter().map(|fault| format!("{fault}\n")).collect();
    insta::assert_snapshot!(faults);
}
