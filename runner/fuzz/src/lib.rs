//! What the fuzz targets share with the replay of their corpus in `cargo test`.

#[path = "../../tests/corpus/bodies.rs"]
pub mod bodies;
