// SPDX-License-Identifier: GPL-2.0-or-later
//
// REGISTER AND MOVE (the seed's 5.6.rm, SPC-3 r23 5.6.8).
#include "register_tables.h"

namespace scsi_pr {
namespace {

using namespace testing;

constexpr Type kSingleHolder[] = {kWE, kEA, kWERO, kEARO};

// After A's registration and reservation have been moved to D, or the
// reservation alone.
State MovedToD(Type type, bool with_registration) {
  State state = ReservedByA(type);
  if (with_registration) state.registrations.erase(state.registrations.begin());
  state.registrations.push_back({D(), kNew});
  state.reservation->holder = D();
  state.generation = 1;
  return state;
}

// The seed's layout: SPEC_I_PT, and the target port is the command's.
Command SeedMove(uint64_t key, uint64_t new_key, const Nexus& destination) {
  return Out(OutAction::kRegisterAndMove, key, new_key).List({destination});
}

// 1) to 3): registered, and the holder, with the same scope and type. The
// sender stays registered.
TEST(Move, RegistersAndMoves) {
  Clause("5.6.rm: 1 to 3", "5.6.rm: sender stays",
         "table regreg: REGISTER AND MOVE / yes / non-zero / yes or no");
  for (Type type : kSingleHolder) {
    for (const Command& command : {Move(kKeyA, kNew, D()), SeedMove(kKeyA, kNew, D())}) {
      const Outcome outcome = Good(ReservedByA(type), A(), command);
      EXPECT_EQ(outcome.state, MovedToD(type, false));
      EXPECT_TRUE(outcome.unit_attentions.empty());
      EXPECT_TRUE(outcome.preempted.empty());
    }
  }
}

// Of a registrants only type the sender "still maintains access".
TEST(Move, Access) {
  Clause("5.6.rm: sender stays");
  for (Type type : kSingleHolder) {
    const State after = Good(ReservedByA(type), A(), Move(kKeyA, kNew, D())).state;
    EXPECT_TRUE(MayWrite(after, D()));
    EXPECT_EQ(MayWrite(after, A()), RegistrantsOnly(type));
    EXPECT_TRUE(after.IsHolder(D()));
    EXPECT_FALSE(after.IsHolder(A()));
  }
}

// r23 5.6.8: with UNREG the sender's registration is removed; the reservation,
// which is not its own any more, stays, and nobody is told.
TEST(Move, Unreg) {
  for (Type type : kSingleHolder) {
    const Outcome outcome = Good(ReservedByA(type), A(), Move(kKeyA, kNew, D()).Unreg());
    EXPECT_EQ(outcome.state, MovedToD(type, true));
    EXPECT_TRUE(outcome.unit_attentions.empty());
  }
}

// r23 5.6.8: no error if the destination is registered, with whatever key.
TEST(Move, ToARegisteredNexus) {
  for (Type type : kSingleHolder) {
    for (uint64_t key : {kNew, kKeyB, kKeyA}) {
      const State after = Good(ReservedByA(type), A(), Move(kKeyA, key, B())).state;
      EXPECT_EQ(after, State(Given()
                                 .Registered(A(), kKeyA)
                                 .Registered(B(), key)
                                 .Registered(C(), kKeyC)
                                 .Reserved(type, B())
                                 .Generation(1)));
    }
  }
}

// RELATIVE TARGET PORT IDENTIFIER: that port's nexus and no other.
TEST(Move, ToAnotherTargetPort) {
  for (Type type : kSingleHolder) {
    const State after = Good(ReservedByA(type), A(), Move(kKeyA, kNew, At(B(), 0x0102))).state;
    EXPECT_EQ(KeyOf(after, At(B(), 0x0102)), kNew);
    EXPECT_EQ(KeyOf(after, B()), kKeyB);
    EXPECT_TRUE(after.IsHolder(At(B(), 0x0102)));
    EXPECT_FALSE(after.IsHolder(B()));
  }
  // The seed's layout names none: the port of the command.
  const State state = Given().Registered(At(A(), 7), kKeyA).Reserved(kWE, At(A(), 7));
  EXPECT_TRUE(Good(state, At(A(), 7), SeedMove(kKeyA, kNew, D())).state.IsHolder(At(D(), 7)));
}

// r23 5.6.8: no reservation is INVALID FIELD IN CDB.
TEST(Move, WithoutReservation) {
  Clause("5.6.rm: b");
  const State state = Given().Registered(A(), kKeyA).Registered(B(), kKeyB);
  for (const Nexus& destination : {B(), D(), A()}) {
    ExpectCheck(state, A(), Move(kKeyA, kNew, destination), sense::kInvalidFieldInCdb);
    ExpectCheck(state, A(), SeedMove(kKeyA, 0, destination), sense::kInvalidFieldInCdb);
  }
}

// r23 5.6.8: all registrants types have no holder to move from.
TEST(Move, AllRegistrants) {
  Clause("5.6.rm: b");
  for (Type type : {kWEAR, kEAAR}) {
    for (const Nexus& sender : {A(), B()}) {
      const uint64_t key = KeyOf(ReservedByA(type), sender);
      ExpectConflict(ReservedByA(type), sender, Move(key, kNew, D()));
      ExpectConflict(ReservedByA(type), sender, Move(key, 0, sender));
    }
  }
}

// b): table 34 allows the command to any registrant, this subclause only to
// the holder.
TEST(Move, ByAnotherThanTheHolder) {
  Clause("5.6.rm: b");
  for (Type type : kSingleHolder) {
    for (const Nexus& destination : {A(), B(), D()}) {
      ExpectConflict(ReservedByA(type), B(), Move(kKeyB, kNew, destination));
    }
    const State state = Given().Registered(AtAll(A()), kKeyA).Reserved(type, A());
    ExpectConflict(state, At(A(), 2), Move(kKeyA, kNew, D()));
  }
}

// Table regreg, RESERVATION KEY not valid; table regun, any key.
TEST(Move, WrongKey) {
  Clause("5.6.rm: b");
  for (Type type : kAllTypes) {
    for (uint64_t key : {uint64_t{0}, kKeyB, kWrong}) {
      for (uint64_t new_key : {uint64_t{0}, kNew}) {
        ExpectConflict(ReservedByA(type), A(), Move(key, new_key, D()));
        ExpectConflict(ReservedByA(type), A(), Move(key, new_key, A()).Aptpl());
      }
    }
    for (uint64_t key : {uint64_t{0}, kKeyA, kWrong}) {
      ExpectConflict(ReservedByA(type), D(), Move(key, kNew, B()));
      ExpectConflict(ReservedByA(type), D(), Move(key, 0, D()));
    }
  }
  ExpectConflict(State{}, D(), Move(0, kNew, A()));
}

// a): it cannot unregister.
TEST(Move, KeyZero) {
  Clause("5.6.rm: a", "table regreg: REGISTER AND MOVE / yes / zero / yes or no");
  for (Type type : kSingleHolder) {
    for (const Nexus& destination : {B(), D()}) {
      ExpectCheck(ReservedByA(type), A(), Move(kKeyA, 0, destination),
                  sense::kInvalidFieldInParameterList);
      ExpectCheck(ReservedByA(type), A(), Move(kKeyA, 0, destination).Unreg(),
                  sense::kInvalidFieldInParameterList);
    }
  }
}

// c): "the TransportID does not describe the initiator port sending the
// command"; r23 5.6.8 says the same. The target port does not matter.
TEST(Move, ToTheSendersInitiatorPort) {
  Clause("5.6.rm: c", "table regerr: invalid nexus",
         "table regreg: REGISTER AND MOVE / yes / non-zero / yes or no");
  for (Type type : kSingleHolder) {
    for (const Command& command : {Move(kKeyA, kNew, A()), Move(kKeyA, kKeyA, A()),
                                   SeedMove(kKeyA, kNew, A()), Move(kKeyA, kNew, A()).Unreg()}) {
      ExpectCheck(ReservedByA(type), A(), command, sense::kInvalidFieldInParameterList);
    }
  }
}
TEST(Move, ToTheSendersInitiatorPortAtAnotherTargetPort) {
  const Sense expected = sense::kInvalidFieldInParameterList;
  for (Type type : kSingleHolder) {
    ExpectCheck(ReservedByA(type), A(), Move(kKeyA, kNew, At(A(), 2)), expected);
    const State all =
        Given().Registered(AtAll(A()), kKeyA).Registered(B(), kKeyB).Reserved(type, A());
    ExpectCheck(all, A(), Move(kKeyA, kNew, At(A(), 2)), expected);
    ExpectCheck(all, A(), Move(kKeyA, kNew, At(A(), 2)).Unreg(), expected);
  }
}

// Table 109: SCOPE and TYPE are ignored; the reservation keeps its own.
TEST(Move, IgnoresScopeAndType) {
  Clause("5.6.5: c");
  const State plain = Good(ReservedByA(kEARO), A(), Move(kKeyA, kNew, D())).state;
  for (uint8_t code = 0; code < 16; code++) {
    EXPECT_EQ(Good(ReservedByA(kEARO), A(), Move(kKeyA, kNew, D()).Scope(code)).state, plain);
    EXPECT_EQ(Good(ReservedByA(kEARO), A(), Move(kKeyA, kNew, D()).TypeCode(code)).state, plain);
  }
}

// Table 109: APTPL is valid, and may not be supported (6.12.3).
TEST(Move, Aptpl) {
  Clause("6.12.3: APTPL", "6.12.3: APTPL not supported");
  State state = Good(ReservedByA(kWE), A(), Move(kKeyA, kNew, D()).Aptpl()).state;
  EXPECT_TRUE(state.aptpl);
  state = Good(state, D(), Move(kNew, kKeyB, B())).state;
  EXPECT_FALSE(state.aptpl);
  ExpectUnchanged(Apply(ReservedByA(kWE), kVolatile, A(), Move(kKeyA, kNew, D()).Aptpl()),
                  ReservedByA(kWE), ScsiStatus::kCheckCondition,
                  sense::kInvalidFieldInParameterList);
  State on = ReservedByA(kWE);
  on.aptpl = true;
  ExpectCheck(on, A(), Move(kKeyA, 0, D()), sense::kInvalidFieldInParameterList);
}

// Table regerr: insufficient resources. What UNREG would free comes too late.
TEST(Move, Limit) {
  Clause("table regerr: resources");
  State full = ReservedByA(kWERO);
  for (uint64_t i = 1; full.registrations.size() < State::kMaxRegistrations; i++) {
    full.registrations.push_back({NumberedNexus(i), i});
  }
  const Sense expected = sense::kInsufficientRegistrationResources;
  ExpectCheck(full, A(), Move(kKeyA, kNew, D()), expected);
  ExpectCheck(full, A(), Move(kKeyA, kNew, D()).Unreg(), expected);
  EXPECT_TRUE(Good(full, A(), Move(kKeyA, kNew, B())).state.IsHolder(B()));
}

// A registration of the destination for all target ports: its key changes as a
// whole, and the holder is the one nexus named.
TEST(Move, ToARegistrationForAllTargetPorts) {
  for (Type type : kSingleHolder) {
    const State state =
        Given().Registered(A(), kKeyA).Registered(AtAll(B()), kKeyB).Reserved(type, A());
    EXPECT_EQ(Good(state, A(), Move(kKeyA, kNew, At(B(), 3))).state,
              State(Given()
                        .Registered(A(), kKeyA)
                        .Registered(AtAll(B()), kNew)
                        .Reserved(type, At(B(), 3))
                        .Generation(1)));
  }
}

TEST(Move, FromARegistrationForAllTargetPorts) {
  const State state = Given().Registered(AtAll(A()), kKeyA).Reserved(kEA, At(A(), 2));
  EXPECT_EQ(Good(state, At(A(), 2), Move(kKeyA, kNew, D()).Unreg()).state,
            State(Given().Registered(D(), kNew).Reserved(kEA, D()).Generation(1)));
}

// The seed's 5.6.8.tp, steps 1 to 7; the way back by SPEC_I_PT, and with one
// key for both by that key alone.
TEST(Move, ThirdPartyCopy) {
  Clause("5.6.8.tp");
  const Nexus application = A(), manager = B(), stranger = C();
  for (bool by_list : {false, true}) {
    const uint64_t key = by_list ? kNew : kKeyA;
    State state = Good(State{}, application, Register(0, kKeyA)).state;
    state = Good(state, application, Reserve(kKeyA, kEA)).state;
    state = Good(state, application, Move(kKeyA, key, manager)).state;
    EXPECT_TRUE(MayWrite(state, manager));
    EXPECT_FALSE(MayWrite(state, application) || MayWrite(state, stranger));
    const Command take_back =
        by_list ? Preempt(kKeyA, key, kEA).List({manager}) : Preempt(kKeyA, key, kEA);
    const Outcome back = Good(state, application, take_back);
    EXPECT_EQ(back.state.registrations, (std::vector<Registration>{{application, kKeyA}}));
    EXPECT_TRUE(back.state.IsHolder(application));
    EXPECT_EQ(back.unit_attentions, (Attentions{{manager, sense::kRegistrationsPreempted}}));
  }
}

}  // namespace
}  // namespace scsi_pr
