//! TensorBoard's event files: protocol-buffer messages, each between its length and checksums.
//!
//! ```text
//! record   length: u64 · masked CRC-32C of the length: u32 · message · masked CRC-32C of the message: u32   (little endian)
//! Event    1 wall_time: double · 2 step: int64 · 3 file_version: string | 5 summary: Summary | 7 session_log: SessionLog
//! Summary  1 value: repeated { 1 tag: string · 2 simple_value: float }
//! ```

/// Wire types of protocol buffers.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// Tags and their values.
pub(super) struct Summary(pub(super) Vec<(String, f32)>);

enum What {
    Version,
    Start,
    Summary(Summary),
}

/// One record of an event file.
pub(super) struct Event {
    /// Seconds since 1970.
    time: f64,
    step: u64,
    what: What,
}

impl Event {
    /// What an event file begins with.
    pub(super) fn version(time: f64) -> Self {
        Self { time, step: 0, what: What::Version }
    }

    /// Tells readers to forget what they have read of later steps.
    pub(super) fn start(time: f64) -> Self {
        Self { time, step: 0, what: What::Start }
    }

    pub(super) fn scalars(time: f64, step: usize, summary: Summary) -> Self {
        Self { time, step: step as u64, what: What::Summary(summary) }
    }

    /// The message.
    pub(super) fn encoded(&self) -> Vec<u8> {
        let mut message = Vec::new();
        key(&mut message, 1, FIXED64);
        message.extend(self.time.to_le_bytes());
        if self.step > 0 {
            key(&mut message, 2, VARINT);
            varint(&mut message, self.step);
        }
        match &self.what {
            What::Version => bytes(&mut message, 3, b"brain.Event:2"),
            // SessionLog { 1 status: START = 1 }
            What::Start => bytes(&mut message, 7, &[1 << 3, 1]),
            What::Summary(Summary(values)) => {
                let mut summary = Vec::new();
                for (tag, number) in values {
                    let mut value = Vec::new();
                    bytes(&mut value, 1, tag.as_bytes());
                    key(&mut value, 2, FIXED32);
                    value.extend(number.to_le_bytes());
                    bytes(&mut summary, 1, &value);
                }
                bytes(&mut message, 5, &summary);
            }
        }
        message
    }
}

fn key(to: &mut Vec<u8>, field: u64, wire: u64) {
    varint(to, field << 3 | wire);
}

fn varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn bytes(to: &mut Vec<u8>, field: u64, content: &[u8]) {
    key(to, field, BYTES);
    varint(to, content.len() as u64);
    to.extend(content);
}

/// A message as a record of the file.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let [of_length, of_message] = [&length[..], message].map(|bytes| masked(crc32c(bytes)).to_le_bytes());
    [&length[..], &of_length, message, &of_message].concat()
}

/// A checksum of data that may hold checksums: rotated and moved, so that it is not one of itself.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: event files are small.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
