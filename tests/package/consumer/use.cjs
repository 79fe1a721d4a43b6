const roundTrip = require('./round-trip.cjs');

roundTrip(require('a2a-kms'), require('a2a-kms/emulator')).then(() => console.log('ok'));
