"use strict";

// Azurite runs with --disableTelemetry, so nothing of the real module is ever called.
module.exports = {};
