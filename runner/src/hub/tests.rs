use super::*;
use std::fs;

fn hub(variables: &[(&str, &str)]) -> Result<Hub> {
    let found = |name: &str| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
    };
    Hub::from(&found)
}

#[test]
fn the_environment_says_where_the_cache_and_the_hub_are() {
    let found = hub(&[("HF_HOME", "/h")]).unwrap();
    assert_eq!((found.cache, found.endpoint.as_str(), found.offline), ("/h/hub".into(), ENDPOINT, false));
    let found = hub(&[
        ("HF_HOME", "/h"),
        ("HF_HUB_CACHE", "/c"),
        ("HF_ENDPOINT", "http://m/"),
        ("HF_HUB_OFFLINE", "true"),
    ]);
    let found = found.unwrap();
    assert_eq!((found.cache, found.endpoint.as_str(), found.offline), ("/c".into(), "http://m", true));
    assert_eq!(hub(&[("XDG_CACHE_HOME", "/x")]).unwrap().cache, Path::new("/x/huggingface/hub"));
    for endpoint in ["hub.co", "https://", "ftp://hub.co", "https://hub.co?x", "https://me:pass@hub.co"] {
        let error = hub(&[("HF_HOME", "/h"), ("HF_ENDPOINT", endpoint)]).unwrap_err().to_string();
        assert!(!error.contains("pass"), "{error}");
    }
    assert!(!format!("{:?}", hub(&[("HF_HOME", "/h"), ("HF_TOKEN", "hf_abc")])).contains("hf_abc"));
    assert!(hub(&[("HF_HOME", "/h"), ("HF_TOKEN", "hf_a\nb")]).is_err());
}

#[test]
fn a_model_in_the_cache_is_found_by_its_folder_and_by_its_name() {
    let cache = tempfile::tempdir().unwrap();
    let repository = cache.path().join("models--EleutherAI--pythia-14m");
    for (revision, commit) in [("main", "abc1"), ("step3000", "def2")] {
        let snapshot = repository.join("snapshots").join(commit);
        fs::create_dir_all(&snapshot).unwrap();
        fs::create_dir_all(repository.join("refs")).unwrap();
        fs::write(repository.join("refs").join(revision), commit).unwrap();
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            fs::write(snapshot.join(file), "{}").unwrap();
        }
    }
    let snapshots = repository.join("snapshots");
    assert_eq!(cached(Role::Model, &repository).unwrap(), snapshots.join("abc1"));
    let hub = hub(&[("HF_HUB_CACHE", cache.path().to_str().unwrap())]).unwrap();
    let find = |name: &str| hub.cached(Role::Model, &Address::parse(name).unwrap());
    assert_eq!(find("EleutherAI/pythia-14m"), Some(snapshots.join("abc1")));
    assert_eq!(find("EleutherAI/pythia-14m@step3000"), Some(snapshots.join("def2")));
    assert_eq!(find("EleutherAI/pythia-14m@def2"), Some(snapshots.join("def2")));
    assert_eq!(find("EleutherAI/pythia-70m"), None);
    // A folder is itself, and so is what does not exist.
    assert_eq!(cached(Role::Model, &snapshots.join("abc1")).unwrap(), snapshots.join("abc1"));
    assert_eq!(cached(Role::Model, Path::new("nowhere")).unwrap(), Path::new("nowhere"));
    // One that lacks something is not there, unless the hub has no such file.
    fs::remove_file(snapshots.join("abc1/tokenizer.json")).unwrap();
    assert_eq!(find("EleutherAI/pythia-14m"), None);
    fs::create_dir_all(repository.join(".no_exist/abc1")).unwrap();
    fs::write(repository.join(".no_exist/abc1/tokenizer.json"), "").unwrap();
    assert!(find("EleutherAI/pythia-14m").is_some());
    let index = r#"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#;
    fs::rename(
        snapshots.join("abc1/model.safetensors"),
        snapshots.join("abc1/model-00001-of-00002.safetensors"),
    )
    .unwrap();
    fs::write(snapshots.join("abc1/model.safetensors.index.json"), index).unwrap();
    assert_eq!(
        hub.lacks(Role::Model, &Address::parse("EleutherAI/pythia-14m").unwrap()),
        ["model-00002-of-00002.safetensors"]
    );
}

#[test]
fn of_a_repository_only_what_is_needed_is_wanted() {
    let address = Address::parse("a/b").unwrap();
    let of = |role: Role, files: &[&str]| {
        let files: Vec<_> = files.iter().map(|file| ((*file).to_owned(), None)).collect();
        wanted(role, &address, &files)
            .map(|files| files.into_iter().map(|(file, _)| file).collect::<Vec<_>>())
    };
    let names = |files: &[&str]| of(Role::Model, files);
    let whole = [
        "README.md",
        "model.safetensors",
        "tokenizer.json",
        "pytorch_model.bin",
        "config.json",
        "onnx/model.onnx",
    ];
    assert_eq!(names(&whole).unwrap(), ["config.json", "tokenizer.json", "model.safetensors"]);
    let shards = [
        "config.json",
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "adapter_model.safetensors",
        "model-of-mine.safetensors",
    ];
    assert_eq!(names(&shards).unwrap(), shards[..4]);
    assert!(names(&["config.json", "pytorch_model.bin"]).unwrap_err().to_string().contains("pickled"));
    assert!(names(&["model.safetensors"]).unwrap_err().to_string().contains("config.json"));
    // No weights for a shape or a tokenizer, and none are needed.
    assert_eq!(of(Role::Config, &whole).unwrap(), ["config.json"]);
    assert_eq!(of(Role::Tokenizer, &whole).unwrap(), ["config.json", "tokenizer.json"]);
    assert_eq!(of(Role::Tokenizer, &["tokenizer.json"]).unwrap(), ["tokenizer.json"]);
    assert!(of(Role::Tokenizer, &["config.json"]).unwrap_err().to_string().contains("AutoTokenizer"));
    assert!(of(Role::Config, &["tokenizer.json"]).unwrap_err().to_string().contains("no config.json"));
}

#[test]
fn a_shape_and_a_tokenizer_are_files_folders_or_names() {
    let folder = tempfile::tempdir().unwrap();
    let here = |role, name: &str| cached(role, &folder.path().join(name)).unwrap();
    fs::create_dir(folder.path().join("shape")).unwrap();
    for file in ["shape/config.json", "shape/tokenizer.json"] {
        fs::write(folder.path().join(file), "{}").unwrap();
    }
    for name in ["shape", "shape/config.json"] {
        assert_eq!(here(Role::Config, name), folder.path().join("shape/config.json"));
    }
    for name in ["shape", "shape/tokenizer.json", "nowhere", "nowhere/tokenizer.json"] {
        assert_eq!(here(Role::Tokenizer, name), folder.path().join(name));
    }
    // A file that is not there is no repository, and a name needs no ending.
    for role in [Role::Config, Role::Tokenizer] {
        assert!(!is_named(role, Path::new("nobody/config.json")).unwrap());
        assert!(is_named(role, Path::new("nobody/pythia-14m@step3000")).unwrap());
        assert!(is_named(role, Path::new("hf://nobody/config.json")).unwrap());
        assert!(is_named(role, Path::new("hf://nobody/pythia/config.json")).is_err());
        // The tests of a package run in its folder.
        assert!(!is_named(role, Path::new("src/hub")).unwrap());
    }
}
