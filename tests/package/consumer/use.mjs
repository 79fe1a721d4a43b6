import * as sdk from 'a2a-kms';
import * as emulator from 'a2a-kms/emulator';
import roundTrip from './round-trip.cjs';

await roundTrip(sdk, emulator);
console.log('ok');
