use super::encode::crc32c;
use super::*;

/// Reads an event file as others would, by the description of its format alone: step and values of each record.
fn decode(mut file: &[u8]) -> Vec<(u64, Vec<(String, f32)>)> {
    let mut events = Vec::new();
    while !file.is_empty() {
        let (length, rest) = file.split_at(8);
        let (of_length, rest) = rest.split_at(4);
        let (message, rest) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
        let (of_message, rest) = rest.split_at(4);
        for (bytes, sum) in [(length, of_length), (message, of_message)] {
            let crc = crc32c(bytes);
            let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
            assert_eq!(sum, masked.to_le_bytes());
        }
        let (mut step, mut values) = (0, Vec::new());
        for (field, content) in fields(message) {
            match field {
                2 => step = u64::from_le_bytes(content.try_into().unwrap()),
                5 => {
                    for (_, value) in fields(&content) {
                        let parts: BTreeMap<u64, Vec<u8>> = fields(&value).into_iter().collect();
                        let number = f32::from_le_bytes(parts[&2][..].try_into().unwrap());
                        values.push((String::from_utf8(parts[&1].clone()).unwrap(), number));
                    }
                }
                _ => {}
            }
        }
        events.push((step, values));
        file = rest;
    }
    events
}

/// Field numbers and contents of a message; a varint as eight bytes.
fn fields(mut message: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(message: &mut &[u8]) -> u64 {
        let length = message.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let (bytes, rest) = message.split_at(length);
        *message = rest;
        bytes.iter().rev().fold(0, |number, byte| number << 7 | u64::from(byte & 0x7f))
    }
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let length = match key & 7 {
            0 => {
                found.push((key >> 3, varint(&mut message).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut message) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (content, rest) = message.split_at(length);
        found.push((key >> 3, content.to_vec()));
        message = rest;
    }
    found
}

fn metrics(stage: &str, step: usize) -> Metrics {
    Metrics {
        stage: stage.into(),
        step,
        loss: 1.0 / step as f64,
        logps_chosen: Some(-50.5),
        seconds: 2.0,
        ..Metrics::default()
    }
}

fn probe(stage: &str, step: usize, kind: &str, example: usize, logp: f64) -> ProbeRow {
    ProbeRow {
        stage: Some(stage.into()),
        step: Some(step),
        kind: kind.into(),
        example,
        logp,
        ..ProbeRow::default()
    }
}

fn write<T: serde::Serialize>(path: &Path, rows: &[T]) {
    let lines: String = rows.iter().map(|row| serde_json::to_string(row).unwrap() + "\n").collect();
    fs::write(path, lines).unwrap();
}

fn events(board: &Board) -> Vec<(u64, BTreeMap<String, f32>)> {
    let events = decode(&fs::read(&board.path).unwrap()).into_iter();
    events.map(|(step, values)| (step, values.into_iter().collect())).collect()
}

#[test]
fn checksums_are_those_of_the_standard() {
    // RFC 3720, B.4.
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
}

#[test]
fn a_resumed_stage_has_every_step_once_and_the_rows_values() {
    let place = tempfile::tempdir().unwrap();
    let (run, folder) = (place.path(), place.path().join(FOLDER));
    write(&run.join(METRICS), &[metrics("sft", 1), metrics("dpo", 1), metrics("dpo", 2)]);
    let rows = [
        probe("dpo", 0, "chosen", 0, -10.0),
        probe("dpo", 0, "chosen", 1, -20.0),
        probe("dpo", 0, "rejected", 0, -30.0),
        probe("dpo", 2, "chosen", 0, -8.0),
        probe("sft", 1, "chosen", 0, -1.0),
    ];
    write(&run.join(PROBES), &rows);
    let mut board = Board::open(run, "dpo", &folder).unwrap();
    board.stepped(&metrics("dpo", 3)).unwrap();
    board.probed(&[probe("dpo", 3, "chosen", 0, -7.0)]).unwrap();
    let found = events(&board);
    let steps: Vec<u64> = found.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [0, 0, 0, 1, 2, 2, 3, 3]);
    assert_eq!((found[2].1["eval/logps/chosen"], found[2].1["eval/logps/rejected"]), (-15.0, -30.0));
    assert_eq!((found[3].1["train/loss"], found[3].1["train/logps/chosen"]), (1.0, -50.5));
    assert_eq!(found[6].1["train/loss"], 1.0 / 3.0);
    assert!(!found[3].1.contains_key("train/rewards/margins") && !found[3].1.contains_key("train/step"));
    assert_eq!(found[7].1["eval/logps/chosen"], -7.0);

    // The records were cut back to step 1; the file begins anew under a later name, and is the only one.
    write(&run.join(METRICS), &[metrics("sft", 1), metrics("dpo", 1)]);
    write(&run.join(PROBES), &rows[..3]);
    let before = board.path.clone();
    let board = Board::open(run, "dpo", &folder).unwrap();
    assert!(board.path > before && !before.exists());
    assert_eq!(events(&board).iter().map(|(step, _)| *step).collect::<Vec<_>>(), [0, 0, 0, 1]);
}

#[test]
fn event_times_follow_the_seconds_of_the_steps() {
    let rows = [metrics("dpo", 1), metrics("dpo", 2)];
    let times = |events: Vec<Event>| {
        let first = |event: &Event| f64::from_le_bytes(event.encoded()[1..9].try_into().unwrap());
        events.iter().map(first).collect::<Vec<_>>()
    };
    assert_eq!(
        times(derived(&rows, &[probe("dpo", 0, "chosen", 0, -1.0)], 100.0).unwrap()),
        [96.0, 98.0, 100.0]
    );
}
