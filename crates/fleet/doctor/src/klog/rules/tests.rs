use super::*;

fn faults(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut rules, mut faults) = (Vec::new(), Vec::new());
    parse("mine.yaml", text, &mut rules, &mut faults);
    let names = rules.iter().map(|rule| rule.rule.name.clone()).collect();
    (names, faults.iter().map(RuleFault::to_string).collect())
}

#[test]
fn the_built_in_rules_are_all_well_written() {
    let (rules, faults) = load(None);
    assert_eq!(faults, []);
    assert!(20 <= rules.len(), "{}", rules.len());
}

#[test]
fn a_malformed_rule_is_told_with_file_line_and_reason_and_the_others_load() {
    let text = r"- name: good
  class: disk.media_error
  component: sda
  pattern: 'bad'
  quiet: 10m
- name: open-group
  class: disk.media_error
  component: sda
  pattern: 'bad('
  quiet: 10m
- name: no-pattern
  class: disk.media_error
  quiet: 10m
- {name: two, class: Disk, component: x, pattern: x, quiet: 1m}
- {name: three, class: disk, pattern: x, quiet: 1m}
- {name: four, class: disk, component: x, pattern: x, quiet: 1m, count: 5}
- {name: five, class: disk, component: x, pattern: x, quiet: 1m, colour: red}
- {name: six, class: disk, component: x, pattern: '(?:a{1,100}){1,100}b', quiet: 1m}
- {name: seven, class: disk, pattern: '(?<component>[a-z]+) broke', quiet: 1m, shadow: true}
";
    let (names, told) = faults(text);
    assert_eq!(names, ["good", "seven"]);
    let starts = [
        "mine.yaml:6: open-group: pattern: error: unclosed group",
        "mine.yaml:11: missing field `pattern`",
        "mine.yaml:14: two: class: \"Disk\" must be dotted lower case",
        "mine.yaml:15: three: component: give either this or a group",
        "mine.yaml:16: four: within: must say in which time 5 lines open it",
        "mine.yaml:17: unknown field `colour`",
        "mine.yaml:18: six: pattern: takes more than 262144 bytes when compiled",
    ];
    assert_eq!(told.len(), starts.len(), "{told:#?}");
    for (told, start) in told.iter().zip(starts) {
        assert!(told.starts_with(start), "{told}\n{start}");
    }
}

#[test]
fn what_is_no_list_of_rules_is_told_with_its_line() {
    let (names, told) = faults("- name: a\n  class: [\n");
    assert_eq!((names.len(), told.len()), (0, 1));
    assert!(told[0].starts_with("mine.yaml:") && told[0].contains("is no list of rules"), "{told:?}");
}

#[test]
fn a_directory_adds_rules_replaces_those_of_the_same_name_and_a_missing_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let rule = "- {name: oom, class: mem.mine, component: memory, pattern: x, quiet: 1m, shadow: true}";
    std::fs::write(dir.path().join("b.yaml"), rule).unwrap();
    std::fs::write(dir.path().join("a.yaml"), "- {name: new, class: a, component: b, pattern: x, quiet: 1m}")
        .unwrap();
    std::fs::write(dir.path().join("notes.txt"), "no rules").unwrap();
    let (built_in, _) = load(None);
    let (rules, faults) = load(Some(dir.path()));
    assert_eq!((rules.len(), faults), (built_in.len() + 1, Vec::new()));
    let oom = rules.iter().find(|rule| rule.rule.name == "oom").unwrap();
    assert!(oom.rule.class == "mem.mine" && oom.rule.shadow);
    let (rules, faults) = load(Some(&dir.path().join("none")));
    assert_eq!((rules.len(), faults.len()), (built_in.len(), 1));
}
