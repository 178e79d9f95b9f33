//! Finetune Pythia and Qwen models and watch what every step does to every kind of response.

pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod data;
pub mod demo;
pub mod device;
pub mod dynamics;
pub mod files;
pub mod generate;
pub mod grid;
pub mod interrupt;
pub mod model;
pub mod monitor;
pub mod objective;
pub mod probe;
pub mod progress;
pub mod record;
pub mod report;
pub mod score;
pub mod seed;
pub mod statistics;
pub mod study;
pub mod train;
pub mod value;
pub mod verify;
