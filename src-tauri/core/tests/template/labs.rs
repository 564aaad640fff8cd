//! The labs that come with the project, and folders of one's own.
use super::GOOD;
use forge_core::error::Code;
use forge_core::template::folder::Folder;
use forge_core::template::scenario::Scenario;
use forge_core::template::{Catalogue, Sources};
use sha2::{Digest, Sha256};

fn built_in() -> Catalogue {
    let catalogue = Catalogue::load(&Sources::default());
    assert!(catalogue.broken().is_empty(), "{:#?}", catalogue.broken());
    catalogue
}

/// What a seed decides, pinned: a change here means that a lab needs a new version. The guide and the digest of the
/// folder are left out, so that a corrected sentence moves nothing.
#[test]
fn the_built_in_labs_stay_as_they_are() {
    let want = [
        ("ccna-ospf-single-area", "1.1.0", "8067374e92f86132"),
        ("cissp-ssh-hardening", "1.0.3", "1f161a63db3401d1"),
        ("netplus-dns-zone-reverse", "1.0.3", "15d7676b41e7849d"),
    ];
    let have: Vec<_> = built_in()
        .list()
        .map(|lab| {
            let s = Scenario { digest: String::new(), guide: String::new(), ..lab.instantiate("golden").unwrap() };
            let digest: String =
                Sha256::digest(serde_json::to_vec(&s).unwrap()).iter().take(8).map(|b| format!("{b:02x}")).collect();
            (lab.id.clone(), lab.version.clone(), digest)
        })
        .collect();
    let have: Vec<_> = have.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    assert_eq!(have, want);
}

#[test]
fn the_built_in_labs_are_complete() {
    let catalogue = built_in();
    for lab in catalogue.list() {
        assert_eq!(lab.id, lab.path.replace('/', "-"), "the id says where the lab lies");
        assert_eq!(lab.track, lab.path.split('/').next().unwrap());
        assert!(!lab.solution("a").unwrap().is_empty(), "{} has no solution", lab.id);
        let wrong = lab.wrong("a").unwrap();
        assert!(wrong.len() >= 2, "{} has {} wrong solutions", lab.id, wrong.len());
        assert!(lab.specimen.guide.len() > 1500 && !lab.summary.is_empty() && !lab.objectives.is_empty(), "{}", lab.id);
        assert!(
            lab.specimen.criteria.iter().all(|c| !c.failed.is_empty()),
            "{}: a criterion has nothing to say",
            lab.id
        );
        // Nothing that only a check may know stands in the guide.
        let guide = lab.instantiate("leak").unwrap();
        for secret in ["secret", "ghost", "rootpw", "weak"] {
            if let Some(value) = guide.values.get(secret).and_then(|v| v.as_str()) {
                assert!(!guide.guide.contains(value), "{}: the guide gives {secret} away", lab.id);
            }
        }
        assert_eq!(catalogue.get(&lab.path).unwrap().id, lab.id);
        assert_eq!(catalogue.get(lab.path.split('/').nth(1).unwrap()).unwrap().id, lab.id);
    }
    let error = catalogue.get("ccna-ospf-single-aera").unwrap_err();
    assert_eq!((error.code, error.hints[0].as_str()), (Code::UnknownLab, "Did you mean “ccna-ospf-single-area”?"));
}

#[test]
fn a_broken_lab_hides_no_other() {
    let home = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = home.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put("mine/good/lab.yaml", GOOD);
    put("mine/broken/lab.yaml", &GOOD.replace("deny", "deyn"));
    put("mine/twice/lab.yaml", GOOD);
    put("mine/no-lab/readme.md", "nothing");
    put("images/x/lab.yaml", "not looked at");
    let catalogue = Catalogue::load(&Sources { instead: None, user: Some(home.path().to_owned()) });
    assert_eq!(catalogue.list().count(), 4);
    let broken: Vec<_> =
        catalogue.broken().iter().map(|b| (b.place.rsplit('/').next().unwrap(), b.error.code)).collect();
    assert_eq!(broken, [("broken", Code::TemplateInvalid), ("twice", Code::TemplateInvalid)]);
    for name in ["broken", "mine/broken", "mine-broken"] {
        let error = catalogue.get(name).unwrap_err();
        assert!(error.message.contains("lab.yaml:17:13"), "{name}: {}", error.message);
    }
    // Whoever asks by a name that only the broken file knows is led to it.
    let unknown = catalogue.get("what-its-yaml-says").unwrap_err();
    assert_eq!(unknown.code, Code::UnknownLab);
    assert!(unknown.hints.iter().any(|h| h.contains("mine/broken: lab.yaml:17:13")), "{:?}", unknown.hints);
}

#[cfg(unix)]
#[test]
fn links_and_paths_out_of_the_folder_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let lab = home.path().join("mine/lab");
    std::fs::create_dir_all(lab.join("files")).unwrap();
    std::fs::write(lab.join("lab.yaml"), GOOD).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", lab.join("files/passwd")).unwrap();
    let error = Folder::read(&lab).unwrap_err();
    assert_eq!(error.code, Code::TemplateInvalid);
    assert!(error.message.contains("files/passwd"), "{}", error.message);
    std::fs::create_dir(home.path().join("track")).unwrap();
    std::os::unix::fs::symlink(&lab, home.path().join("track/linked")).unwrap();
    let catalogue = Catalogue::load(&Sources { instead: Some(home.path().to_owned()), user: None });
    let linked = catalogue.get("track/linked").unwrap_err();
    assert!(linked.message.contains("links are not followed"), "{}", linked.message);
    for path in ["../x", "a/../../x", "/etc/passwd", "a//b"] {
        let error = Folder::from_files([(path.to_owned(), vec![])]).unwrap_err();
        assert_eq!(error.code, Code::TemplateInvalid, "{path}");
    }
}

#[test]
fn the_digest_tells_any_change() {
    let digest = |files: &[(&str, &str)]| {
        Folder::from_files(files.iter().map(|(p, b)| ((*p).to_owned(), b.as_bytes().to_vec()))).unwrap().digest()
    };
    let base = digest(&[("a", "12"), ("b", "3")]);
    assert_eq!(base, digest(&[("b", "3"), ("a", "12")]));
    for other in [[("a", "1"), ("b", "23")], [("a", "12"), ("c", "3")], [("a", "12"), ("b", "4")]] {
        assert_ne!(base, digest(&other));
    }
}
