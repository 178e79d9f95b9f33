//! Reports as a reader has them: in a real browser, opened from a file. Skipped, in words, where there is no Chromium.

// What the fixture is made of; it is that of the unit tests of reports.
use ldyn::report::{self, Member, Run};
use ldyn::{data, record};
use serde_json::{Value, json};
use std::path::PathBuf;

mod driver;
#[path = "../../src/report/fixture.rs"]
#[allow(dead_code, reason = "the unit tests use the rest")]
mod fixture;

use driver::{Browser, keys, place};
use fixture::{ATTACK, Field, Fixture};

/// A folder with the report of a run.
struct Place(tempfile::TempDir);

impl Place {
    fn new(fixture: &Fixture) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fixture.write(folder.path());
        report::write(folder.path()).unwrap();
        Self(folder)
    }

    fn page(&self) -> PathBuf {
        self.0.path().join(report::HTML)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.0.path().join(report::JSON)).unwrap()).unwrap()
    }
}

/// Every line of every chart: its keys, and whether it is seen.
fn lines(browser: &Browser) -> Vec<(String, bool)> {
    let found = browser.value(
        "[...document.querySelectorAll('g.line')].map(g => [g.dataset.keys, g.getClientRects().length > 0])",
    );
    let pairs = found.as_array().unwrap();
    pairs.iter().map(|p| (p[0].as_str().unwrap().to_owned(), p[1].as_bool().unwrap())).collect()
}

/// How many lines of a key are seen and how many are not, and the same of all other lines.
fn seen(browser: &Browser, key: &str) -> [[usize; 2]; 2] {
    let mut counts = [[0; 2]; 2];
    for (keys, seen) in lines(browser) {
        counts[usize::from(!keys.lines().any(|k| k == key))][usize::from(!seen)] += 1;
    }
    counts
}

fn pressed(browser: &Browser, button: &str) -> Value {
    browser.value(&format!("document.querySelector({}).ariaPressed", json!(button)))
}

#[test]
fn kinds_are_shown_and_hidden_in_every_chart() {
    let place = Place::new(&Fixture::new());
    let Some(browser) = Browser::start() else { return };
    browser.open(&place.page());
    assert_eq!(browser.console(), Vec::<String>::new());
    let [[rejected, 0], [others, 0]] = seen(&browser, "kind rejected") else {
        panic!("a line is hidden at first")
    };
    // Two stages of changes and of changes per token, its levels, its contexts three times.
    assert!(rejected >= 8 && others > 40, "{rejected} {others}");

    let button = "button[data-key='kind rejected']";
    let before = format!("getComputedStyle(document.querySelector({}), '::before').content", json!(button));
    let (sign, is) = (browser.value(&before), pressed(&browser, button));
    browser.click(button);
    assert_eq!(seen(&browser, "kind rejected"), [[0, rejected], [others, 0]]);
    assert_ne!(
        (browser.value(&before), pressed(&browser, button)),
        (sign, is),
        "the state is shown by colour alone"
    );
    // By the keyboard it comes back.
    browser.press(keys::SPACE);
    assert_eq!(seen(&browser, "kind rejected"), [[rejected, 0], [others, 0]]);

    browser.click("button[data-only='kind chosen']");
    let [[chosen, 0], _] = seen(&browser, "kind chosen") else { panic!("the only kind is hidden") };
    let shown = lines(&browser).into_iter().filter(|(keys, seen)| *seen && !keys.is_empty()).count();
    assert_eq!(shown, chosen, "another kind is seen too");
    // On paper there is no choice: everything is shown.
    browser.command("Emulation.setEmulatedMedia", &json!({"media": "print"}));
    assert!(lines(&browser).iter().all(|(_, seen)| *seen), "a curve is missing in print");
    assert_eq!(browser.value("document.querySelector('.legends').getClientRects().length"), 0);
    browser.command("Emulation.setEmulatedMedia", &json!({"media": ""}));
    let printed = browser.command("Page.printToPDF", &json!({}));
    let pdf = printed["data"].as_str().unwrap();
    assert!(pdf.starts_with("JVBERi0") && pdf.len() > 50_000, "no PDF came out: {} bytes", pdf.len());
    browser.click(".legend .all");
    assert!(lines(&browser).iter().all(|(_, seen)| *seen));
    assert_eq!(browser.console(), Vec::<String>::new());
}

/// Where in the window a moment of a chart stands.
fn moment(browser: &Browser, panel: &str, words: &str) -> [f64; 2] {
    place(&browser.value(&format!(
        "(() => {{ const svg = document.querySelector({}).querySelector('svg.chart');
           svg.scrollIntoView({{block: 'center'}});
           const row = svg.dataset.moments.split('\\n').find(row => row.endsWith({}));
           const box = svg.getBoundingClientRect();
           return [box.x + parseFloat(row) * box.width / svg.viewBox.baseVal.width, box.y + box.height / 2]; }})()",
        json!(panel),
        json!(words)
    )))
}

/// The readout: when, and the rows.
fn readout(browser: &Browser) -> (String, Vec<[String; 2]>) {
    let shown = browser.value(
        "(() => { const r = document.querySelector('.readout');
           if (!r || r.hidden) return ['', []];
           return [r.querySelector('p').textContent,
                   [...r.querySelectorAll('tr')].map(tr => [...tr.cells].map(td => td.textContent))]; })()",
    );
    let words = |v: &Value| v.as_str().unwrap().to_owned();
    let rows = shown[1].as_array().unwrap().iter().map(|row| [words(&row[0]), words(&row[1])]).collect();
    (words(&shown[0]), rows)
}

/// Whether a number as written is the number, to half of its last digit.
fn says(written: &str, number: f64) -> bool {
    let written = written.replace('−', "-");
    let decimals = written.split_once('.').map_or(0, |(_, digits)| digits.len() as i32);
    (written.parse::<f64>().unwrap() - number).abs() <= 0.5 * 10f64.powi(-decimals) + 1e-12
}

#[test]
fn the_pointer_reads_the_values_of_the_records() {
    let folder = Place::new(&Fixture::new());
    let Some(browser) = Browser::start() else { return };
    browser.open(&folder.page());
    let report = folder.json();
    for (stage, name) in [(0, "sft"), (1, "dpo")] {
        let panel = format!("#change .panel:nth-child({})", stage + 1);
        let words = format!("{name}, step 40, 160 examples");
        browser.point(moment(&browser, &panel, &words));
        let (when, rows) = readout(&browser);
        assert_eq!(when, words);
        let curves = report["stages"][stage]["curves"].as_array().unwrap();
        for kind in report["kinds"].as_array().unwrap() {
            let curve = curves.iter().find(|c| c["quantity"] == "logp" && c["kind"] == kind["name"]).unwrap();
            let points = curve["points"].as_array().unwrap();
            let point = points.iter().find(|p| p["step"] == 40).unwrap();
            let symbol = kind["symbol"].as_str().unwrap().replace('_', "");
            let [_, value] =
                rows.iter().find(|[name, _]| *name == symbol).unwrap_or_else(|| panic!("{rows:?}"));
            let (mean, error) = value.split_once(" ± ").unwrap();
            let [change, se] = ["change", "change_se"].map(|of| point[of].as_f64().unwrap());
            assert!(says(mean, change) && says(error, se), "{symbol}: {value}, but {change} ± {se}");
        }
        assert_eq!(rows.len(), 12);
        // In every chart that has the moment it is marked.
        let marked = "[...document.querySelectorAll('.cursor')].filter(c => c.getAttribute('visibility') === 'visible').length";
        assert!(browser.value(marked).as_u64().unwrap() > 12);
    }
    // A hidden kind is not read out.
    browser.click("button[data-key='kind rejected']");
    browser.point(moment(&browser, "#change .panel", "sft, step 40, 160 examples"));
    assert_eq!(readout(&browser).1.len(), 11);
    // With the keyboard alone.
    browser.point([1.0, 1.0]);
    assert_eq!(readout(&browser).0, "");
    browser.value("document.querySelector('#margin .panel').focus()");
    browser.press(keys::HOME);
    assert_eq!(readout(&browser).0, "sft, step 0, 0 examples");
    browser.press(keys::LEFT);
    assert_eq!(readout(&browser).0, "sft, step 0, 0 examples");
    browser.press(keys::ESCAPE);
    assert_eq!(readout(&browser).0, "");
    assert_eq!(browser.console(), Vec::<String>::new());
}

/// How bright a CSS colour is, 0 to 255.
fn brightness(colour: &Value) -> f64 {
    let numbers = colour.as_str().unwrap().trim_start_matches("rgb(").trim_end_matches(')');
    numbers.split(',').map(|n| n.trim().parse::<f64>().unwrap()).sum::<f64>() / 3.0
}

#[test]
fn a_page_is_read_in_the_dark_on_a_phone_without_script_and_without_eyes() {
    let folder = Place::new(&Fixture::new());
    let Some(browser) = Browser::start() else { return };
    browser.open(&folder.page());
    let colours = || {
        [
            brightness(&browser.value("getComputedStyle(document.body).backgroundColor")),
            brightness(&browser.value("getComputedStyle(document.querySelector('g.line polyline')).stroke")),
        ]
    };
    let [paper, line] = colours();
    let dark = json!([{"name": "prefers-color-scheme", "value": "dark"}]);
    browser.command("Emulation.setEmulatedMedia", &json!({"features": dark}));
    let [night, bright] = colours();
    assert!(paper > 250.0 && night < 40.0 && bright > line + 40.0, "{paper} {night} {line} {bright}");
    browser.command("Emulation.setEmulatedMedia", &json!({"media": "print", "features": dark}));
    assert!(colours()[0] > 250.0, "ink on black paper");
    browser.command("Emulation.setEmulatedMedia", &json!({"media": "", "features": []}));

    // A text alternative for every chart, a caption for every table, a name for every button.
    let tree = browser.command("Accessibility.getFullAXTree", &json!({}));
    let nodes = |roles: &[&str]| -> Vec<&Value> {
        let of = |node: &&Value| {
            roles.iter().any(|role| node["role"]["value"] == *role) && node["ignored"] != true
        };
        tree["nodes"].as_array().unwrap().iter().filter(of).collect()
    };
    let charts = nodes(&["image", "img", "graphics-document"]);
    assert_eq!(browser.value("document.querySelectorAll('svg.chart').length"), charts.len());
    for chart in charts {
        let [name, words] =
            ["name", "description"].map(|what| chart[what]["value"].as_str().unwrap_or_default());
        assert!(!name.is_empty() && words.contains(" from ") && words.contains(" to "), "{chart}");
    }
    let buttons = nodes(&["button", "togglebutton"]);
    assert!(buttons.len() > 24 && buttons.iter().all(|b| b["name"]["value"] != ""));
    let bare = "[...document.querySelectorAll('table')].filter(t => !t.caption || !t.querySelector('th[scope]')).length";
    assert_eq!(browser.value(bare), 0);

    let phone = json!({"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true});
    browser.command("Emulation.setDeviceMetricsOverride", &phone);
    assert_eq!(browser.value("[innerWidth, document.documentElement.scrollWidth]"), json!([390, 390]));
    // What a finger pointed at stays, until it points elsewhere.
    browser.tap(moment(&browser, "#change .panel", "sft, step 40, 160 examples"));
    assert_eq!(readout(&browser).0, "sft, step 40, 160 examples");
    assert_eq!(browser.value("document.documentElement.scrollWidth"), 390);
    browser.command("Emulation.clearDeviceMetricsOverride", &json!({}));

    // What was not written by the page does not run in it.
    let intruder = "(() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';
                     document.body.append(s); return window.ran; })()";
    assert_eq!(browser.console(), Vec::<String>::new());
    assert_eq!(browser.value(intruder), Value::Null);
    assert!(browser.console().iter().any(|line| line.contains("Content Security Policy")));

    browser.command("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    browser.open(&folder.page());
    assert!(lines(&browser).iter().all(|(_, seen)| *seen));
    assert_eq!(browser.value("document.querySelector('.legends').getClientRects().length"), 0);
}

/// A run whose y⁺ ends as many nats lower in DPO.
fn run(name: &str, seed: u64, shape: fn(f64) -> f64) -> Member {
    let mut fixture = Fixture::new();
    fixture.set("dpo", "chosen", Field::Logp, shape);
    Member { arm: name.into(), seed, summary: report::summarise(&fixture.run()) }
}

#[test]
fn runs_are_compared_side_by_side_on_the_same_axes() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("comparison.html");
    let members = [run("runs/a", 1, |t| -10.0 * t), run("runs/b", 1, |t| -300.0 * t)];
    report::write_comparison(&page, &report::compare("two runs", &members)).unwrap();
    let Some(browser) = Browser::start() else { return };
    browser.open(&page);
    // Ticks of the vertical axis, of the two charts of the last stage.
    let ticks = "[...document.querySelectorAll('#stage-2 figure:nth-of-type(2) svg.chart')].map(svg =>
                  [...svg.querySelectorAll(':scope > text[text-anchor=end]')].map(t => [t.getAttribute('y'), t.textContent.trim()]))";
    let ticks = browser.value(ticks);
    let [a, b] = &ticks.as_array().unwrap()[..] else { panic!("not two charts: {ticks}") };
    assert!(a == b && a.as_array().unwrap().len() > 2, "{a} and {b}");
    let [[own, 0], [_, 0]] = seen(&browser, "run runs/b") else { panic!("a line is hidden at first") };
    let panels = "[...document.querySelectorAll('.panel')].filter(p => p.getClientRects().length).length";
    let before = browser.value(panels).as_u64().unwrap();
    browser.click("button[data-key='run runs/b']");
    assert_eq!(seen(&browser, "run runs/b")[0], [0, own]);
    // In each of the two stages the run's own chart is gone, and no other.
    assert_eq!(browser.value(panels).as_u64().unwrap(), before - 2);
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn what_comes_from_data_is_text_and_nothing_else() {
    let mut fixture = Fixture::new();
    fixture.attack(ATTACK);
    let folder = Place::new(&fixture);
    let member =
        |name: &str| Member { arm: name.into(), seed: 1, summary: report::summarise(&fixture.run()) };
    let compared = folder.0.path().join("comparison.html");
    let members = [member(ATTACK), member("b")];
    report::write_comparison(&compared, &report::compare(ATTACK, &members)).unwrap();
    let figures = folder.0.path().join("figures");
    report::write_figures(&figures, &report::figure_files(&members[0].summary).unwrap()).unwrap();
    let Some(browser) = Browser::start() else { return };
    // A chart that is a file of its own, in which a browser would run scripts too.
    for stage in ["sft", "dpo"] {
        let name = |path: &PathBuf| {
            path.file_name().unwrap().to_string_lossy().starts_with(&format!("change-{stage}"))
        };
        let paths = std::fs::read_dir(&figures).unwrap().map(|entry| entry.unwrap().path());
        let file = paths.filter(|path| path.extension().is_some_and(|e| e == "svg")).find(name).unwrap();
        assert!(std::fs::read_to_string(&file).unwrap().contains("pwned"));
        browser.open(&file);
        assert_eq!(browser.value("document.documentElement.nodeName"), "svg", "{}", file.display());
        let foreign = "document.querySelectorAll('script, style, img, image, parsererror').length";
        assert_eq!(browser.value(foreign), 0, "{}", file.display());
        assert_eq!(browser.console(), Vec::<String>::new());
    }
    for (page, key) in [(folder.page(), "kind "), (compared, "run ")] {
        browser.open(&page);
        // The policy had nothing to refuse: every escape held.
        assert_eq!(browser.console(), Vec::<String>::new(), "{}", page.display());
        let title = browser.value("document.title");
        assert!(title.as_str().unwrap().starts_with("<script>document.title"), "{title}");
        let tags = "['script', 'style', 'title', 'img'].map(t => document.getElementsByTagName(t).length)";
        // An SVG has a title too; the script takes those of charts away.
        assert_eq!(browser.value(tags), json!([1, 1, 1, 0]), "{}", page.display());
        // A name like that is a key as good as others.
        let attack: String = ATTACK.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let key = format!("{key}{attack}");
        let [[own, 0], [others, 0]] = seen(&browser, &key) else { panic!("a line is hidden at first") };
        assert!(own > 0);
        let find =
            format!("[...document.querySelectorAll('.show')].find(b => b.dataset.key === {})", json!(key));
        browser.value(&format!("{find}.click()"));
        assert_eq!(seen(&browser, &key), [[0, own], [others, 0]]);
        browser.value(&format!("{find}.click()"));
        // Its values are read out as text.
        browser.value("document.querySelector('.panel').focus()");
        browser.press(keys::HOME);
        assert!(!readout(&browser).1.is_empty());
        assert_eq!(browser.value(tags), json!([1, 1, 1, 0]));
        assert_ne!(browser.value("document.title"), "pwned");
        assert_eq!(browser.console(), Vec::<String>::new());
    }
}
