// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

class Shape {
 public:
  virtual ~Shape() = default;
  virtual int Corners() const = 0;
};

class Square : public Shape {
 public:
  virtual int Corners() const { return 4; }
};
