pub mod vantage;
