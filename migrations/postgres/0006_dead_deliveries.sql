-- +goose Up
-- Dead deliveries are counted for the operators' metrics, however many were delivered.
CREATE INDEX deliveries_dead ON deliveries (lane) WHERE state = 'dead';
